// Where the messages are on the screen. It measures, and changes nothing.

/** @param {HTMLElement} box @returns {NodeListOf<Element>} */
export const sectionsOf = (box) => box.querySelectorAll("[data-chunk]");

/** How far below the upper edge something begins. @param {HTMLElement} box @param {Element} element */
export const offsetIn = (box, element) => element.getBoundingClientRect().top - box.getBoundingClientRect().top;

/** A message that is mounted. @param {HTMLElement} box @param {number} seq @returns {HTMLElement | null} */
export const messageIn = (box, seq) => box.querySelector(`article[data-seq="${seq}"]`);

/** The first message whose beginning is seen. Messages are in order, so a binary search finds it.
 * @param {HTMLElement} box @returns {{ article: HTMLElement, offset: number } | null} */
export function firstSeen(box) {
  const articles = /** @type {NodeListOf<HTMLElement>} */ (box.querySelectorAll("article[data-seq]"));
  let [low, high] = [0, articles.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offsetIn(box, articles[middle]) < 0) low = middle + 1;
    else high = middle;
  }
  const article = articles[low];
  return article ? { article, offset: offsetIn(box, article) } : null;
}
