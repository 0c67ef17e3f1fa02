// Which row of the list has the keyboard: it stays named when rows come, go or move.
import { signal } from "@preact/signals";
import { rows } from "./session_list.js";

/** The row that Tab reaches and j and k start from. */
export const currentId = signal(/** @type {string | null} */ (null));
/** The session whose name is a field now. */
export const renamed = signal(/** @type {string | null} */ (null));
/** The row that gets the focus as soon as it is drawn. */
export const wantedId = signal(/** @type {string | null} */ (null));

export const indexOfCurrent = () => rows.value.findIndex((each) => each.id === currentId.value);

/** @param {string | null | undefined} id */
export function focusRow(id) {
  if (!id) return;
  currentId.value = id;
  wantedId.value = null;
  wantedId.value = id;
}

/** Focus the row some places further. @param {number} by */
export function moveFocus(by) {
  const at = indexOfCurrent();
  const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.value.length - 1);
  focusRow(rows.value[next]?.id);
  return rows.value[next]?.id;
}

/** The row that gets the focus when a row goes: the next one, or the one before.
 * @param {string} id */
export function neighbour(id) {
  const at = rows.value.findIndex((each) => each.id === id);
  return (rows.value[at + 1] ?? rows.value[at - 1])?.id;
}

/** @param {string} id */
export function startRename(id) {
  currentId.value = id;
  renamed.value = id;
}

/** @param {boolean} isFocused whether the row gets the focus back */
export function renameEnds(isFocused) {
  const id = renamed.value;
  renamed.value = null;
  if (isFocused) focusRow(id);
}
