// What can be done with one row, as a menu: the way to every act by mouse and touch.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { scope } from "./list_address.js";
import { startRename, focusRow, neighbour } from "./list_focus.js";
import { askDelete, askTags } from "./list_dialogs.js";
import { toggleSelected } from "./selection.js";
import * as acts from "./session_acts.js";
import { words } from "../words.js";

/** @typedef {import("./session_list.js").Session} Session */

const opened = signal(/** @type {{ session: Session, anchor: Element } | null} */ (null));

/** @param {Session} session @param {Element} anchor */
export const openRowMenu = (session, anchor) => (opened.value = { session, anchor });

/** Run an act that takes the row away, then focus the next row. @param {Session} session @param {() => Promise<boolean>} act */
async function andFocusNext(session, act) {
  const next = neighbour(session.id);
  if (await act()) focusRow(next);
}

/** The acts on one row, by name. @type {Record<string, (session: Session) => any>} */
export const rowActs = {
  rename: (session) => startRename(session.id),
  pin: async (session) => (await acts.pinSession(session)) && focusRow(session.id),
  archive: (session) => andFocusNext(session, () => acts.archiveSession(session)),
  tag: async (session) => {
    const answer = await askTags(session.metadata_tags);
    if (answer) await acts.tagSession(session, answer);
  },
  delete: (session) => andFocusNext(session, () => acts.deleteSession(session)),
  restore: (session) => andFocusNext(session, () => acts.restoreSession(session)),
  purge: async (session) => {
    if (await askDelete(1, true)) await andFocusNext(session, () => acts.purgeSession(session));
  },
  select: (session) => toggleSelected(session.id),
};

/** @param {Session} session @returns {[string, string, string, string][]} act, icon, text, key */
const entries = (session) =>
  scope.value === "trash"
    ? [["restore", "undo", words.restore, ""], ["select", "check", words.select, "x"], ["purge", "trash", words.purge, "#"]]
    : [
        ["rename", "edit", words.rename, "r"],
        ["pin", "pin", session.pinned ? words.unpin : words.pin, "p"],
        ["archive", "archive", session.archived ? words.unarchive : words.archive, "e"],
        ["tag", "tag", words.tagDots, "t"],
        ["select", "check", words.select, "x"],
        ["delete", "trash", words.delete, "#"],
      ];

/** The menu of the row whose button was pressed. */
export function RowMenu() {
  const shown = opened.value;
  const menu = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    if (!shown || !menu.current) return;
    menu.current.showPopover();
    place(menu.current, shown.anchor.getBoundingClientRect());
    menu.current.querySelector("button")?.focus();
  }, [shown]);
  if (!shown) return null;
  const { session, anchor } = shown;
  const close = () => {
    opened.value = null;
    /** @type {HTMLElement} */ (anchor).focus();
  };
  const run = (/** @type {string} */ act) => () => (close(), rowActs[act](session));
  return html`<div class="menu row-menu" ref=${menu} popover="auto" role="menu" onKeyDown=${onKeyDown}
      onToggle=${(/** @type {any} */ event) => event.newState === "closed" && opened.value === shown && close()}>
    ${entries(session).map(([act, icon, text, key]) => html`<button key=${act} role="menuitem" tabindex="-1"
      class=${act === "delete" || act === "purge" ? "danger" : ""} onClick=${run(act)}>
      ${h(Icon, { name: icon })}<span>${text}</span>${key && html`<kbd>${key}</kbd>`}</button>`)}
  </div>`;
}

/** Put a popover below its opener, or above it where there is no room.
 * @param {HTMLElement} popover @param {DOMRect} opener */
export function place(popover, opener) {
  const { width, height } = popover.getBoundingClientRect();
  const below = opener.bottom + 4;
  const top = below + height > innerHeight ? Math.max(4, opener.top - height - 4) : below;
  popover.style.top = `${top}px`;
  popover.style.left = `${Math.max(4, Math.min(opener.right - width, innerWidth - width - 4))}px`;
}

/** @param {KeyboardEvent} event */
function onKeyDown(event) {
  const items = [.../** @type {Element} */ (event.currentTarget).querySelectorAll("button")];
  const at = items.indexOf(/** @type {any} */ (document.activeElement));
  const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  items[to % items.length].focus();
}
