// One line that opens: a name, the beginning of what is inside, and the inside on demand.
import { useEffect, useState } from "preact/hooks";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";

const PREVIEW = 80;

/** @param {{ name: string, preview: string, isOpenAtFirst?: boolean, children: () => any }} props
 * `children` is called when the fold is open. */
export function Fold({ name, preview, isOpenAtFirst = false, children }) {
  const [isOpen, setOpen] = useState(isOpenAtFirst);
  useEffect(() => {
    if (isOpenAtFirst) setOpen(true);
  }, [isOpenAtFirst]);
  const line = [...preview.slice(0, PREVIEW * 2)].slice(0, PREVIEW).join("").replace(/\s+/g, " ");
  return html`<div class="fold">
    <button type="button" class="fold-line" aria-expanded=${String(isOpen)} onClick=${() => setOpen(!isOpen)}>
      ${h(Icon, { name: isOpen ? "down" : "right", size: 14 })}<bdi>${name}</bdi>${!isOpen && html`<code dir="auto">${line}</code>`}
    </button>
    ${isOpen && html`<div class="fold-inside">${children()}</div>`}
  </div>`;
}

/** The first pieces of a list, and a button for the rest.
 * @param {{ pieces: any[], most: number, label: (count: number) => string, show: (piece: any, index: number) => any }} props */
export function Some({ pieces, most, label, show }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? pieces : pieces.slice(0, most);
  return html`${shown.map(show)}${shown.length < pieces.length && html`<button type="button" class="quiet"
    onClick=${() => setWhole(true)}>${label(pieces.length)}</button>`}`;
}
