// Copies text exactly, also on plain http, where navigator.clipboard does not exist.

/** Return whether the text is in the clipboard. @param {string} text @returns {Promise<boolean>} */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** @param {string} text */
function copyBySelection(text) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  // A modal dialog makes all outside it inert, so the field must lie inside.
  const place = [...document.querySelectorAll("dialog[open]")].pop() ?? document.body;
  const field = document.createElement("textarea");
  field.className = "visually-hidden";
  field.value = text;
  field.readOnly = true;
  place.append(field);
  field.select();
  let isSet = false;
  // The field turns line ends into \n, so the clipboard gets the text itself.
  const set = (/** @type {ClipboardEvent} */ event) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    isSet = event.clipboardData !== null;
  };
  document.addEventListener("copy", set, { capture: true, once: true });
  try {
    return document.execCommand("copy") && isSet;
  } catch {
    return false;
  } finally {
    document.removeEventListener("copy", set, { capture: true });
    field.remove();
    before?.focus({ preventScroll: true });
  }
}
