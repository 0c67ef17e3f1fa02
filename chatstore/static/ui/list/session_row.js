// One row of the list: a link of two lines, or a field while its session is renamed.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { formatExact, formatNumber, formatShort } from "../dates.js";
import { classes, h, html } from "../html.js";
import { Icon } from "../icons.js";
import { isComposing } from "../keys.js";
import { rowPath } from "./list_address.js";
import { renamed, renameEnds } from "./list_focus.js";
import { openRowMenu } from "./row_menu.js";
import { extendSelection, isPicking, isSelected, selected, toggleSelected } from "./selection.js";
import { renameSession } from "./session_acts.js";
import { readStored } from "../storage.js";
import { words } from "../words.js";

/** @typedef {import("./session_list.js").Session} Session */

const LONG_PRESS_MS = 500;
const MOVED_PX = 10;

/** The last words without the signs of Markdown. @param {string | null} text */
export const plainText = (text) =>
  (text ?? "")
    .replace(/^[ \t]*(?:#{1,6}|>|[-*+]|\d{1,9}[.)])[ \t]+/gm, "")
    .replace(/[*_`~|]{1,3}/g, "")
    .replace(/\s+/g, " ");

/** Whether messages came since the reader left the session. @param {Session} session */
function isUnread(session) {
  const read = readStored(`read:${session.id}`);
  const seq = typeof read === "number" ? read : read?.seq;
  return typeof seq === "number" && (session.head_seq ?? 0) > seq;
}

/**
 * @param {object} props
 * @param {Session} props.session
 * @param {boolean} props.isOpen its session is shown
 * @param {boolean} props.isCurrent the row that Tab reaches
 * @param {boolean} props.isTrash
 * @param {Date} props.now
 */
export function SessionRow({ session, isOpen, isCurrent, isTrash, now }) {
  const press = useLongPress(session.id);
  if (renamed.value === session.id) return h(RenameField, { session });
  const isPicked = isPicking.value && isSelected(session.id);
  const onClick = (/** @type {MouseEvent} */ event) => {
    if (press.wasLong()) return event.preventDefault();
    if (event.shiftKey && selected.value) extendSelection(session.id);
    else if (isPicking.value || event.ctrlKey || event.metaKey) toggleSelected(session.id);
    else if (!isTrash) return;
    else openRowMenu(session, /** @type {Element} */ (event.currentTarget));
    event.preventDefault();
  };
  const instant = session.trashed_at ?? session.last_updated_at;
  const name = session.name ?? words.untitled;
  return html`<a class=${classes("row", isOpen && "is-open", isPicking.value && "pick", isPicked && "is-picked")}
      href=${isTrash ? "/trash" : rowPath(session.id)} data-id=${session.id} draggable=${false}
      tabindex=${isCurrent ? 0 : -1} role=${isPicking.value ? "checkbox" : undefined}
      aria-checked=${isPicking.value ? isPicked : undefined} aria-current=${isOpen ? "page" : undefined}
      onClick=${onClick} ...${press.handlers}>
      ${isPicking.value && html`<span class="box">${isPicked && h(Icon, { name: "check", size: 12 })}</span>`}
      <span class=${session.name ? "row-name" : "row-name is-untitled"} dir="auto">${name}</span>
      <time class="row-time num" datetime=${instant} title=${formatExact(instant)}>${formatShort(instant, now)}</time>
      <span class="row-text" dir="auto">${plainText(session.last_message_preview)}</span>
      <span class="row-count num">
        ${!isOpen && isUnread(session) && html`<i class="dot" title=${words.unread}><span class="visually-hidden">${words.unread}</span></i>`}
        <span class="visually-hidden">${words.messages(session.message_count)}</span><span aria-hidden="true">${formatNumber(session.message_count)}</span>
      </span>
    </a>
    ${!isPicking.value && html`<button class="icon-button row-more" tabindex=${isCurrent ? 0 : -1} aria-haspopup="menu" title=${words.moreFor(name)}
      aria-label=${words.moreFor(name)} onClick=${(/** @type {any} */ event) => openRowMenu(session, event.currentTarget)}>${h(Icon, { name: "more" })}</button>`}`;
}

/** Select by a long press of a finger. @param {string} id */
function useLongPress(id) {
  const state = useRef({ timer: 0, x: 0, y: 0, isLong: false });
  const end = () => clearTimeout(state.current.timer);
  useEffect(() => end, []);
  return {
    wasLong: () => state.current.isLong,
    handlers: {
      onPointerDown: (/** @type {PointerEvent} */ event) => {
        Object.assign(state.current, { x: event.clientX, y: event.clientY, isLong: false });
        if (event.pointerType === "mouse") return;
        state.current.timer = setTimeout(() => {
          state.current.isLong = true;
          toggleSelected(id);
        }, LONG_PRESS_MS);
      },
      onPointerMove: (/** @type {PointerEvent} */ event) => {
        const { x, y } = state.current;
        if (Math.hypot(event.clientX - x, event.clientY - y) > MOVED_PX) end();
      },
      onPointerUp: end,
      onPointerCancel: end,
      // The menu of the browser for links would cover the selection.
      onContextMenu: (/** @type {any} */ event) => event.pointerType === "touch" && event.preventDefault(),
    },
  };
}

/** @param {{ session: Session }} props */
function RenameField({ session }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const isDone = useRef(false);
  const isRefused = useRef(false);
  // The name may change elsewhere meanwhile: the one that the reader saw counts.
  const seen = useRef(session);
  useLayoutEffect(() => field.current?.select(), []);
  const finish = async (/** @type {boolean} */ isKept, /** @type {boolean} */ isFocused) => {
    // A refused name stays in the field until Enter or Escape, so nothing typed is lost.
    if (isDone.current || (isRefused.current && !isFocused)) return;
    isDone.current = true;
    if (isKept && !(await renameSession(isRefused.current ? session : seen.current, field.current?.value ?? ""))) {
      isRefused.current = true;
      isDone.current = false;
      return;
    }
    renameEnds(isFocused);
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (isComposing(event)) return;
    if (event.key === "Enter") event.preventDefault(), finish(true, true);
    if (event.key === "Escape") event.preventDefault(), event.stopPropagation(), finish(false, true);
  };
  return html`<input class="row-rename" ref=${field} dir="auto" maxlength="255" aria-label=${words.newName} data-id=${session.id}
    defaultValue=${session.name ?? ""} onKeyDown=${onKeyDown} onBlur=${() => finish(true, false)} />`;
}
