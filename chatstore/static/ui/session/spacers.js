// How high the messages are that are not mounted: as measured before, or as the others are.

const FIRST_GUESS_PX = 100;
// Browsers lose precision far beyond.
const MAX_PX = 10_000_000;

export class Heights {
  /** @type {Map<number, number>} */
  #measured = new Map();
  #mean = FIRST_GUESS_PX;

  /** @param {import("./chunks.js").Chunks} chunks */
  constructor(chunks) {
    this.chunks = chunks;
  }

  /** @param {number} k */
  of(k) {
    return this.#measured.get(k) ?? this.#mean * this.chunks.sizeOf(k);
  }

  /** @param {number} first @param {number} end exclusive */
  sum(first, end) {
    let height = 0;
    for (let k = first; k < end; k++) height += this.of(k);
    return Math.min(height, MAX_PX);
  }

  /** The chunk at so many pixels from the beginning. @param {number} top */
  chunkAt(top) {
    let [k, height] = [0, this.of(0)];
    while (k < this.chunks.length - 1 && height <= top) height += this.of(++k);
    return k;
  }

  /** @param {NodeListOf<Element>} sections @param {number} first the chunk of the first one */
  measure(sections, first) {
    let [height, count] = [0, 0];
    for (const [index, each] of sections.entries()) {
      const measured = each.getBoundingClientRect().height;
      this.#measured.set(first + index, measured);
      height += measured;
      count += this.chunks.messages(first + index).length;
    }
    if (count) this.#mean = height / count;
  }

  /** Whether a chunk is measured: a path that changed makes it another one. */
  forget() {
    this.#measured.clear();
  }
}
