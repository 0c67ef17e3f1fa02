// Ctrl K: one box for sessions, messages and commands.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { listCommands, matchCommands } from "./commands.js";
import { classes, h, html } from "../html.js";
import { Icon } from "../icons.js";
import { isComposing } from "../keys.js";
import { keyLabel } from "./key_label.js";
import { isPaletteOpen } from "./palette_keys.js";
import { go, route } from "../router.js";
import { isSought, useSearch } from "./search_data.js";
import { Groups, hitPath, hitsOf, Marked, optionId } from "./search_hits.js";
import { soughtHit } from "../sought.js";
import { words } from "../words.js";

const LIMIT = 8;

/** The dialog; it has a content only while it is open. */
export function Palette() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const isOpen = isPaletteOpen.value;
  // Before the next key, which would otherwise be one of the page's.
  useLayoutEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  /** A click on the backdrop closes. @param {MouseEvent} event */
  const onClick = (event) => event.target === dialog.current && dialog.current?.close();
  return html`<dialog ref=${dialog} class="palette" aria-label=${words.palette.search} onClick=${onClick}
    onClose=${() => (isPaletteOpen.value = false)}>
    ${isOpen && h(Box, { close: () => dialog.current?.close() })}
  </dialog>`;
}

/** @param {{ close: () => void }} props */
function Box({ close }) {
  const sessionId = route.value.sessionId;
  const [text, setText] = useState("");
  const [scope, setScope] = useState(/** @type {import("./search_data.js").SearchScope} */ ("everywhere"));
  const [sort, setSort] = useState(/** @type {import("./search_data.js").Sort} */ ("relevance"));
  const [chosen, setChosen] = useState(0);
  const [all] = useState(listCommands);
  const { found, isWaiting } = useSearch({ text, scope, sort, sessionId, limit: LIMIT });
  const groups = found?.groups ?? [];
  const hits = hitsOf(groups);
  const commands = scope === "everywhere" ? matchCommands(all, text) : [];
  const count = hits.length + commands.length;
  const place = Math.min(chosen, count - 1);
  const searchPath = `/search?${new URLSearchParams({ q: text, scope, sort, ...(scope === "session" && sessionId ? { session: sessionId } : {}) })}`;

  useEffect(() => document.getElementById(optionId(place))?.scrollIntoView({ block: "nearest" }), [place]);

  /** @param {number} number @param {boolean} inNewTab */
  function choose(number, inNewTab) {
    const hit = hits[number];
    if (hit && inNewTab) return void window.open(hitPath(hit), "_blank", "noopener");
    const command = commands[number - hits.length];
    if (!hit && !command) return;
    close();
    soughtHit.value = hit ?? null;
    if (hit) go(hitPath(hit));
    else command.run();
  }

  /** @param {KeyboardEvent} event */
  function onKeyDown(event) {
    if (isComposing(event)) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && count) setChosen((place + step + count) % count);
    else if (event.key === "Enter") choose(place, event.ctrlKey || event.metaKey);
    else if (!step) return;
    event.preventDefault();
  }

  /** Close for a link that opens here, not for a new tab. @param {MouseEvent} event */
  const onOpen = (event) => event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && close();

  return html`<div class="palette-box">
    <div class="palette-in">
      ${h(Icon, { name: "search", size: 18 })}
      <input type="text" role="combobox" aria-label=${words.palette.searchEverything} aria-expanded="true" aria-controls="found"
        aria-autocomplete="list" aria-activedescendant=${count ? optionId(place) : null} autocomplete="off" autocapitalize="off"
        spellcheck=${false} enterkeyhint="go" dir="auto" autofocus placeholder=${words.palette.searchHint} maxlength="500" value=${text}
        onInput=${(/** @type {any} */ event) => (setText(event.target.value), setChosen(0))} onKeyDown=${onKeyDown} />
      <button class="escape" aria-label=${words.close} onClick=${close}><kbd class="for-keys">Esc</kbd><span class="for-touch">${h(Icon, { name: "close" })}</span></button>
    </div>
    ${h(Scopes, { scope, setScope, sort, setSort, hasSession: sessionId !== null })}
    <div class="found" id="found" role="listbox" aria-label=${words.palette.results} aria-busy=${String(isWaiting)}>
      ${h(Groups, { groups, chosen: place, isOption: true, onOpen })}
      ${commands.length > 0 && html`<div class="group" role="group" aria-label=${words.palette.commands}>
        <p class="group-name is-quiet">${words.palette.commands}</p>
        ${commands.map((command, index) => html`<div key=${command.name} role="option" id=${optionId(hits.length + index)}
          class=${classes("hit-row", hits.length + index === place && "on")}
          aria-selected=${String(hits.length + index === place)} onClick=${() => choose(hits.length + index, false)}>
          <span class="num">${h(Icon, { name: command.icon, size: 14 })}</span>
          <span class="snippet">${h(Marked, { text: command.name, matches: command.matches })}</span>
          ${command.key && html`<kbd>${keyLabel(command.key)}</kbd>`}
        </div>`)}
      </div>`}
    </div>
    ${found?.error && html`<p class="palette-note danger" role="alert">${words.failed(found.error)}</p>`}
    ${found && !found.error && !hits.length && html`<p class="palette-note">${words.palette.nothingFound}</p>`}
    <div class="palette-foot">
      <span class="for-keys"><kbd>↑</kbd><kbd>↓</kbd> ${words.palette.choose}</span>
      <span class="for-keys"><kbd>↵</kbd> ${words.palette.openAtMessage}</span>
      <span class="for-keys"><kbd>Ctrl ↵</kbd> ${words.palette.newTab}</span>
      <span class="filler"></span>
      <span class="num" role="status">${found && !found.error && words.palette.hitsIn(found.total ?? hits.length, found.isExact, found.milliseconds)}</span>
      ${isSought(text) && found?.next && html`<a href=${searchPath} onClick=${onOpen}>${words.palette.allResults}</a>`}
    </div>
  </div>`;
}

/**
 * Where to search and in which order; the page of the search has them too.
 * @param {object} props
 * @param {import("./search_data.js").SearchScope} props.scope
 * @param {(scope: any) => void} props.setScope
 * @param {import("./search_data.js").Sort} props.sort
 * @param {(sort: any) => void} props.setSort
 * @param {boolean} props.hasSession
 */
export function Scopes({ scope, setScope, sort, setSort, hasSession }) {
  const scopes = Object.entries(words.palette.scopes).filter(([name]) => hasSession || name !== "session");
  return html`<div class="scopes" role="group" aria-label=${words.palette.where}>
    ${scopes.map(([name, label]) => html`<button key=${name} class="chip" aria-pressed=${String(scope === name)}
      onClick=${() => setScope(name)}>${label}</button>`)}
    <span class="filler"></span>
    <select class="plain-select" aria-label=${words.palette.order} value=${sort}
      onChange=${(/** @type {any} */ event) => setSort(event.target.value)}>
      ${Object.entries(scope === "names" ? words.palette.nameOrders : words.palette.orders).map(([name, label]) =>
        html`<option key=${name} value=${name}>${label}</option>`)}
    </select>
  </div>`;
}
