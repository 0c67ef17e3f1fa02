// `?`: all keys of this view, from the table of keys.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { keyLabel } from "../search/key_label.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { addKeys, listKeys } from "../keys.js";
import { words } from "../words.js";

const isOpen = signal(false);

/** Show the keys; the focus goes back to where it was. */
export function openHelp() {
  if (!document.querySelector("dialog[open]")) isOpen.value = true;
}

/** Keys with the same meaning, together, in the order of the table. */
function keysByMeaning() {
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const { key, meaning } of listKeys()) {
    if (meaning) found.set(meaning, [...new Set([...(found.get(meaning) ?? []), key])]);
  }
  return [...found];
}

export function HelpDialog() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => addKeys([{ key: "?", meaning: words.help.keyHelp, run: openHelp }]), []);
  // Before the next key, which would otherwise be one of the page's.
  useLayoutEffect(() => {
    if (isOpen.value) dialog.current?.showModal();
  }, [isOpen.value]);
  const close = () => dialog.current?.close();
  return html`<dialog ref=${dialog} class="help" aria-labelledby="help-head" onClose=${() => (isOpen.value = false)}
    onClick=${(/** @type {MouseEvent} */ event) => event.target === dialog.current && close()}>
    ${isOpen.value && html`<div class="help-box">
      <header><h2 id="help-head">${words.help.keysHead}</h2>
        <button class="icon-button" aria-label=${words.close} onClick=${close}>${h(Icon, { name: "close" })}</button></header>
      <dl class="help-keys">${keysByMeaning().map(([meaning, keys]) => html`<div key=${meaning}>
        <dt>${keys.map((each) => html`<kbd key=${each}>${keyLabel(each)}</kbd>`)}</dt><dd>${meaning}</dd></div>`)}</dl>
      <p class="small-print">${words.help.keysHint} <a href="/settings" onClick=${close}>${words.settingsPage.settings}</a></p>
    </div>`}
  </dialog>`;
}
