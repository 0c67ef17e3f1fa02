// Keeps small values in the browser. Private windows and full disks may refuse.

const PREFIX = "chatstore:";

/** @param {string} name @param {any} [missing] */
export function readStored(name, missing = null) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? missing : JSON.parse(text);
  } catch {
    return missing;
  }
}

/** Return whether the value is kept. @param {string} name @param {any} value null removes it */
export function writeStored(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Names that begin with `start`, without the common prefix. @param {string} start */
export function storedNames(start) {
  try {
    return Object.keys(localStorage)
      .filter((each) => each.startsWith(PREFIX + start))
      .map((each) => each.slice(PREFIX.length));
  } catch {
    return [];
  }
}

/** Call `react` when another tab stores a value under a name that begins with `start`.
 * Returns a function that ends it. @param {string} start @param {(name: string) => void} react */
export function onStored(start, react) {
  const listen = (/** @type {StorageEvent} */ event) => {
    if (event.key?.startsWith(PREFIX + start)) react(event.key.slice(PREFIX.length));
  };
  addEventListener("storage", listen);
  return () => removeEventListener("storage", listen);
}
