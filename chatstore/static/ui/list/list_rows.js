// The part of the list that scrolls: only the rows near the window are in the page.
import { signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { classes, h, html } from "../html.js";
import { Icon } from "../icons.js";
import { filters, scope } from "./list_address.js";
import { currentId, wantedId } from "./list_focus.js";
import { groupRows, HEADING, heightOf, partOf, ROW, rowAt, topOf } from "./list_layout.js";
import { route } from "../router.js";
import { grow, hasMore, rows, total } from "./session_list.js";
import { onStored } from "../storage.js";
import { SessionRow } from "./session_row.js";

/** @typedef {import("./list_layout.js").Group} Group */

const OVERSCAN_PX = 10 * ROW;
const TOAST_ROOM = 72;
const HEADING_ROOM = HEADING + 4;

/** The present, moved on at each midnight of the reader so that groups stay right. */
const now = signal(new Date());
/** Counted up when another tab reads a session, so that its dot goes. */
const marks = signal(0);
onStored("read:", () => marks.value++);
/** Where the list was scrolled to, for each scope and choice of filters. */
const positions = /** @type {Map<string, number>} */ (new Map());

function useMidnight() {
  useEffect(() => {
    let timer = 0;
    const update = () => {
      const date = new Date();
      if (date.toDateString() !== now.value.toDateString()) now.value = date;
      const midnight = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1);
      clearTimeout(timer);
      timer = setTimeout(update, midnight.getTime() - date.getTime() + 500);
    };
    update();
    // Timers of a sleeping machine are late.
    document.addEventListener("visibilitychange", update);
    return () => (clearTimeout(timer), document.removeEventListener("visibilitychange", update));
  }, []);
}

/** A gap of a height; styles go through the DOM because the policy forbids them in markup. @param {number} height */
const gap = (height) =>
  height > 0 && html`<li class="gap" role="presentation" aria-hidden="true" ref=${(/** @type {HTMLElement | null} */ gap) => gap && (gap.style.height = `${height}px`)}></li>`;

export function ListRows() {
  useMidnight();
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const view = useSignal({ top: 0, height: 800 });
  const anchor = useRef({ id: "", offset: 0 });
  const list = rows.value;
  const isTrash = scope.value === "trash";
  const groups = useMemo(() => groupRows(list, now.value, isTrash), [list, now.value, isTrash]);
  const loadedHeight = heightOf(groups);
  const unloaded = hasMore.value ? Math.max((total.value ?? 0) - list.length, 1) * ROW : 0;
  const from = view.value.top - OVERSCAN_PX;
  const to = view.value.top + view.value.height + OVERSCAN_PX;
  const place = `${scope.value} ${JSON.stringify(filters.value)}`;

  const measure = () => {
    const { scrollTop, clientHeight } = /** @type {HTMLElement} */ (box.current);
    view.value = { top: scrollTop, height: clientHeight };
    positions.set(place, scrollTop);
    const first = rowAt(groups, scrollTop);
    anchor.current = scrollTop > 0 && list[first] ? { id: list[first].id, offset: topOf(groups, first) - scrollTop } : { id: "", offset: 0 };
  };
  // Rows that came or went above leave the first visible row where it is.
  useLayoutEffect(() => {
    const element = /** @type {HTMLElement} */ (box.current);
    const at = anchor.current.id ? list.findIndex((each) => each.id === anchor.current.id) : -1;
    if (at >= 0) {
      const top = topOf(groups, at) - anchor.current.offset;
      if (Math.abs(top - element.scrollTop) >= 1) element.scrollTop = top;
    }
    measure();
  }, [groups]);
  useLayoutEffect(() => {
    anchor.current = { id: "", offset: 0 };
    /** @type {HTMLElement} */ (box.current).scrollTop = positions.get(place) ?? 0;
  }, [place]);
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(/** @type {Element} */ (box.current));
    return () => observer.disconnect();
  }, [groups]);
  // A tall window needs further pages without any scrolling.
  useEffect(() => {
    const rowsNeeded = list.length + Math.ceil((to - loadedHeight) / ROW);
    if (to > loadedHeight) grow(rowsNeeded);
  }, [to, loadedHeight, hasMore.value]);
  useWantedFocus(box, groups, view);

  const first = list[0]?.id;
  const current = list.some((each) => each.id === currentId.value) ? currentId.value : first;
  return html`<div class="list" ref=${box} onScroll=${measure} onFocusIn=${onFocusIn}>
    ${groups.map((group) => {
      const part = partOf(group, from, to);
      return part
        ? h(DayGroup, { key: group.label + group.isPinned, group, part, current, isTrash })
        : html`<div key=${group.label + group.isPinned} class="far" ref=${sized(HEADING + group.count * ROW)}></div>`;
    })}
    ${unloaded > 0 && html`<div class="unloaded" ref=${sized(unloaded)}></div>`}
  </div>`;
}

/** @param {number} height */
const sized = (height) => (/** @type {HTMLElement | null} */ element) => {
  if (element) element.style.height = `${height}px`;
};

/** @param {Event} event */
function onFocusIn(event) {
  const row = /** @type {Element} */ (event.target).closest("[data-id]");
  if (row) currentId.value = row.getAttribute("data-id");
}

/** Focus the row that was asked for, once it is in the page.
 * @param {{ current: HTMLElement | null }} box @param {Group[]} groups @param {{ value: { top: number, height: number } }} view */
function useWantedFocus(box, groups, view) {
  const id = wantedId.value;
  useLayoutEffect(() => {
    if (!id || !box.current) return;
    const at = rows.value.findIndex((each) => each.id === id);
    if (at < 0) return;
    const element = box.current;
    const top = topOf(groups, at);
    // A notice floats over the last rows, and must not hide the focus.
    const covered = document.querySelector(".toast") ? TOAST_ROOM : 8;
    if (top < element.scrollTop + HEADING_ROOM) element.scrollTop = top - HEADING_ROOM;
    else if (top + ROW + covered > element.scrollTop + element.clientHeight) element.scrollTop = top + ROW + covered - element.clientHeight;
    view.value = { top: element.scrollTop, height: element.clientHeight };
    const row = /** @type {HTMLElement | null} */ (element.querySelector(`a[data-id="${CSS.escape(id)}"]`));
    if (!row) return;
    row.focus({ preventScroll: true });
    wantedId.value = null;
  });
}

/** @param {{ group: Group, part: { start: number, end: number }, current: string | null | undefined, isTrash: boolean }} props */
function DayGroup({ group, part, current, isTrash }) {
  const { start, count, label, isPinned } = group;
  const shown = rows.value.slice(part.start, part.end);
  const open = route.value.sessionId;
  marks.value;
  return html`<section class="day-group">
    <h2 class="day">${isPinned && h(Icon, { name: "pin", size: 12 })}<span>${label}</span></h2>
    <ul aria-label=${label}>
      ${gap((part.start - start) * ROW)}
      ${shown.map((session, index) => html`<li key=${session.id} class=${classes("item", session.id === open && "is-open")}
        aria-posinset=${part.start - start + index + 1} aria-setsize=${count}>
        ${h(SessionRow, { session, isOpen: session.id === open, isCurrent: session.id === current, isTrash, now: now.value })}
      </li>`)}
      ${gap((start + count - part.end) * ROW)}
    </ul>
  </section>`;
}
