// The keys of the list. They act on the row with the focus, or on the open session.
import { get } from "../api.js";
import { addKeys, isComposing, isTyping, nameOf } from "../keys.js";
import { scope } from "./list_address.js";
import { currentId, moveFocus } from "./list_focus.js";
import { notifyError } from "../notices.js";
import { readStored } from "../storage.js";
import { route } from "../router.js";
import { rowActs } from "./row_menu.js";
import { bulkActs, endSelection, extendSelection, isPicking, selected, toggleSelected } from "./selection.js";
import { createSession } from "./session_acts.js";
import { rows } from "./session_list.js";
import { words } from "../words.js";

/** @typedef {import("../keys.js").Key} Key */

/** The id of the session that a key means. */
function targetId() {
  const isInList = document.activeElement?.closest(".side");
  return isInList ? currentId.value : (route.value.sessionId ?? currentId.value);
}

const target = () => rows.value.find((each) => each.id === targetId());

/** Act on the open session, which the list may not have loaded or not match.
 * @param {string} name @param {string} id */
async function actOnOpen(name, id) {
  try {
    rowActs[name](await get(`/sessions/${id}`));
  } catch (error) {
    notifyError(error);
  }
}

/** @param {string} act @param {string} [inTrash] what the key does in the trash */
const actOn = (act, inTrash) => () => {
  const name = scope.value === "trash" ? inTrash : act;
  if (!name) return false;
  if (isPicking.value && bulkActs[act]) return bulkActs[act]();
  const session = target();
  const open = route.value.sessionId;
  if (session) return void rowActs[name](session);
  if (!open || open !== targetId() || name === "rename") return false;
  actOnOpen(name, open);
};

/** @param {number} by */
const extend = (by) => () => {
  const at = currentId.value;
  if (at && !selected.value) toggleSelected(at);
  const to = moveFocus(by);
  if (to) extendSelection(to);
};

function leaveSelection() {
  if (!isPicking.value) return false;
  return endSelection();
}

/** @type {Key[]} */
const KEYS = [
  { key: "c", meaning: words.keyNew, run: () => void createSession() },
  { key: "ctrl+shift+o", meaning: words.keyNew, run: () => void createSession(), isGlobal: true },
  { key: "j", meaning: words.keyNext, run: () => void moveFocus(1) },
  { key: "k", meaning: words.keyPrevious, run: () => void moveFocus(-1) },
  { key: "x", meaning: words.keySelect, run: () => {
    const session = target();
    if (session) toggleSelected(session.id);
  } },
  { key: "shift+j", meaning: words.keyExtend, run: extend(1) },
  { key: "shift+k", meaning: words.keyExtend, run: extend(-1) },
  { key: "e", meaning: words.keyArchive, run: actOn("archive") },
  { key: "p", meaning: words.keyPin, run: actOn("pin") },
  { key: "t", meaning: words.keyTag, run: actOn("tag") },
  { key: "r", meaning: words.keyRename, run: actOn("rename", "restore") },
  { key: "#", meaning: words.keyDelete, run: actOn("delete", "purge") },
  { key: "Escape", meaning: words.endSelection, run: leaveSelection },
];

/** Keys that mean something only while a row has the focus. @type {Key[]} */
const ROW_KEYS = [
  { key: "ArrowDown", meaning: "", run: () => void moveFocus(1) },
  { key: "ArrowUp", meaning: "", run: () => void moveFocus(-1) },
  { key: "shift+ArrowDown", meaning: "", run: extend(1) },
  { key: "shift+ArrowUp", meaning: "", run: extend(-1) },
  { key: "Home", meaning: "", run: () => void moveFocus(-rows.value.length) },
  { key: "End", meaning: "", run: () => void moveFocus(rows.value.length) },
  { key: " ", meaning: "", run: () => {
    if (!isPicking.value || !currentId.value) return false;
    toggleSelected(currentId.value);
  } },
];

export const addListKeys = () => addKeys(KEYS, { isLast: true });

/** Keys while the focus is in the list: they come before those of the open session.
 * @param {KeyboardEvent} event */
export function onListKey(event) {
  if (isComposing(event) || isTyping(event.target) || event.defaultPrevented || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  const isInRow = /** @type {Element} */ (event.target).closest(".list") !== null;
  const isOn = readStored("keys", true) !== false;
  const offered = [...(isOn ? KEYS : KEYS.filter((each) => each.key.length > 1)), ...(isInRow ? ROW_KEYS : [])];
  const found = offered.find((each) => each.key === nameOf(event));
  if (found && found.run(event) !== false) event.preventDefault();
}
