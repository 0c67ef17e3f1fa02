// The keyboard: one table of keys, which also fills the help behind `?`.
import { readStored } from "./storage.js";

/**
 * @typedef {object} Key
 * @property {string} key as `event.key` says it, "ctrl+k" and "shift+c" with modifiers
 * @property {string} meaning one of the words of the help
 * @property {(event: KeyboardEvent) => unknown} run return false to let the browser act
 * @property {boolean} [isGlobal] also works while the reader types
 */

/** @type {Key[]} */
const keys = [];

/** Add keys to the table; returns a function that removes them. The keys that were added
 * last come first. Those of the list come after all others, whenever the list is loaded.
 * @param {Key[]} added */
export function addKeys(added, { isLast = false } = {}) {
  if (isLast) keys.unshift(...added);
  else keys.push(...added);
  return () => {
    for (const each of added) keys.splice(keys.indexOf(each), 1);
  };
}

/** All keys of the table, for the help. */
export const listKeys = () => [...keys];

// Safari ends the composition before it sends the Enter that ended it, so the first key
// after the end belongs to it. Elsewhere that key came before the end.
const COMPOSED_MS = 500;
/** @type {WeakSet<KeyboardEvent>} */
const composing = new WeakSet();
let composedAt = -Infinity;
let hasSentEnter = false;
document.addEventListener(
  "keydown",
  (event) => {
    const isEnder = event.isComposing || event.keyCode === 229;
    if (isEnder || event.timeStamp - composedAt < COMPOSED_MS) composing.add(event);
    hasSentEnter = isEnder && event.key === "Enter";
    composedAt = -Infinity;
  },
  true,
);
document.addEventListener(
  "compositionend",
  (event) => {
    composedAt = hasSentEnter ? -Infinity : event.timeStamp;
    hasSentEnter = false;
  },
  true,
);
document.addEventListener("keyup", () => (composedAt = -Infinity), true);

/** Whether the event ends or continues a composition of an input method: then it must
 * send nothing. @param {KeyboardEvent} event */
export const isComposing = (event) => composing.has(event);

/** @param {EventTarget | null} target */
export const isTyping = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/** The name of the key as the table has it. @param {KeyboardEvent} event */
export function nameOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isLetter = /^[a-z]$/.test(key);
  const control = event.ctrlKey || event.metaKey ? "ctrl+" : "";
  return control + (event.shiftKey && (isLetter || key.length > 1) ? "shift+" : "") + key;
}

export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (isComposing(event) || event.defaultPrevented || event.altKey) return;
    const name = nameOf(event);
    const isSingle = !name.startsWith("ctrl+") && name.length < 8 && event.key.length === 1;
    if (isSingle && readStored("keys", true) === false) return;
    const isInDialog = document.querySelector("dialog[open]") !== null;
    const found = keys.findLast(
      (each) => each.key === name && (each.isGlobal || (!isTyping(event.target) && !isInDialog)),
    );
    if (found && found.run(event) !== false) event.preventDefault();
  });
}
