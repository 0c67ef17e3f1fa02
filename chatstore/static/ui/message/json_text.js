// JSON as text: indented without a loss, because JSON.parse turns 1.0 into 1.

const PIECES = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const MAX_INDENTED = 100_000;

/** Indent JSON text by two spaces. Text that is not JSON comes back as it is. @param {string} text */
export function indentJson(text) {
  if (text.length > MAX_INDENTED || !isJson(text)) return text;
  let depth = 0;
  let made = "";
  const line = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  let before = "";
  for (const [piece] of text.matchAll(PIECES)) {
    const isEnd = piece === "}" || piece === "]";
    if (isEnd) depth -= 1;
    const isAfterOpening = before === "{" || before === "[";
    if ((isEnd && !isAfterOpening) || before === "," || (isAfterOpening && !isEnd)) made += line();
    made += piece === ":" ? ": " : piece;
    if (piece === "{" || piece === "[") depth += 1;
    before = piece;
  }
  return made;
}

/** @param {string} text */
export function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Any stored value as text: a message may hold anything where a text is usual. @param {any} value */
export function asText(value) {
  if (typeof value === "string") return value;
  return value === null || value === undefined ? "" : JSON.stringify(value);
}
