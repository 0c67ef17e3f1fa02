// Turns what the reader types into a query of the search: words and filters.

/** @typedef {{ q: string, filters: Record<string, string | string[]> }} Query */

const ROLES = ["system", "user", "assistant", "tool"];
// role:user, tag:"home server"
const FILTER = /(?:^|\s)(role|tag|model|after|before):(?:"([^"]*)"|(\S+))(?=\s|$)/gi;
const DAY = /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?$/;

/** Split typed text into the words to find and the filters among them. What is no valid
 * filter stays a word. @param {string} text @returns {Query} */
export function parseQuery(text) {
  /** @type {Record<string, string | string[]>} */
  const filters = {};
  const q = text.replace(FILTER, (all, name, quoted, plain) => {
    const isKnown = addFilter(filters, name.toLowerCase(), quoted ?? plain);
    return isKnown ? " " : all;
  });
  return { q: withBeginning(q.trim()), filters };
}

/** @param {Record<string, string | string[]>} filters @param {string} name @param {string} value */
function addFilter(filters, name, value) {
  if (name === "tag") filters.tag = [...[filters.tag ?? []].flat(), value];
  else if (name === "model") filters.model = value;
  else if (name === "role") {
    if (!ROLES.includes(value.toLowerCase())) return false;
    filters.role = value.toLowerCase();
  } else {
    const instant = startOf(value);
    if (!instant) return false;
    filters[name] = instant;
  }
  return value !== "";
}

/** The first instant of a year, month or day of the reader, or null. @param {string} text */
function startOf(text) {
  const [, year, month, day] = DAY.exec(text) ?? [];
  if (!year) return null;
  const date = new Date(Number(year), Number(month ?? 1) - 1, Number(day ?? 1));
  const isReal = date.getMonth() === Number(month ?? 1) - 1 && date.getFullYear() === Number(year);
  return isReal ? date.toISOString() : null;
}

/** Seek the last word as a beginning, unless it is quoted, excluded or an operator.
 * @param {string} q */
function withBeginning(q) {
  const last = q.split(/\s/).at(-1) ?? "";
  const isOpen = (q.match(/"/g) ?? []).length % 2 === 1;
  if (isOpen || last === "OR" || last.startsWith("-") || !/[\p{L}\p{N}\p{M}]$/u.test(last)) return q;
  return `${q}*`;
}

/** Cut a text at its matches, which count code points.
 * @param {string} text @param {number[][]} matches
 * @returns {{ text: string, isMatch: boolean }[]} */
export function cutAtMatches(text, matches) {
  const points = [...text];
  const parts = [];
  let end = 0;
  for (const [from, to] of matches) {
    parts.push({ text: points.slice(end, from).join(""), isMatch: false });
    parts.push({ text: points.slice(from, to).join(""), isMatch: true });
    end = to;
  }
  parts.push({ text: points.slice(end).join(""), isMatch: false });
  return parts.filter((each) => each.text);
}
