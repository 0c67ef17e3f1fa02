// Marks found words by the CSS Custom Highlight API: the text nodes stay whole.

const hasHighlights = "highlights" in CSS && typeof Highlight === "function";

/** The matched words of the snippets, in lower case. @param {any[]} hits */
export function wordsOf(hits) {
  const found = new Set();
  for (const { snippet, matches } of hits) {
    const letters = [...snippet];
    for (const [from, to] of matches) found.add(letters.slice(from, to).join("").toLowerCase());
  }
  return found;
}

/**
 * Mark the words in the messages of the hits that are mounted.
 * @param {Element} box @param {any[]} hits @param {Set<string>} words @param {number} [now] the message of the current hit
 */
export function markWords(box, hits, words, now) {
  if (!hasHighlights || !words.size) return;
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${[...words].sort(longestFirst).map(escape).join("|")})(?![\\p{L}\\p{N}])`, "giu");
  const [found, current] = [new Highlight(), new Highlight()];
  for (const { seq } of hits) {
    const article = box.querySelector(`article[data-seq="${seq}"]`);
    if (article) for (const range of rangesIn(article, pattern)) (seq === now ? current : found).add(range);
  }
  CSS.highlights.set("found", found);
  CSS.highlights.set("found-now", current);
}

/** Mark the words of one hit of a search. @param {Element} box @param {any} hit */
export const markHit = (box, hit) => markWords(box, [hit], wordsOf([hit]), hit.seq);

export function clearMarks() {
  if (!hasHighlights) return;
  CSS.highlights.delete("found");
  CSS.highlights.delete("found-now");
}

/** @param {Element} article @param {RegExp} pattern */
function* rangesIn(article, pattern) {
  const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (node.parentElement?.closest(".acts, .who, button")) continue;
    for (const { index, 0: word } of (node.nodeValue ?? "").matchAll(pattern)) {
      const range = new Range();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      yield range;
    }
  }
}

/** @param {string} one @param {string} other */
const longestFirst = (one, other) => other.length - one.length;
/** @param {string} text */
const escape = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
