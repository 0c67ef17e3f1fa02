// Gives a text to the reader as a file.

/** @param {string} name @param {string} type @param {string} text */
export function downloadText(name, type, text) {
  const href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = Object.assign(document.createElement("a"), { href, download: name });
  link.click();
  // The browser reads the file after the click; a minute is enough for any.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
