// Which chunks of the session are in the page: those around the reader, and as many
// more as the browser can bear, so that it finds, selects and prints them.
import { batch, signal } from "@preact/signals";
import { whenIdle } from "../lazy.js";
import { offsetIn, sectionsOf } from "../places.js";

const MAX_CHUNKS = 20;
const MAX_NODES = 7_700;
// Messages are there this many screens before the reader.
const AHEAD = 2;
// Of a chunk that the reader waits for, so many messages around the wanted one are
// mounted first. They fill a screen; the others follow when it is painted.
const BEFORE = 8;
const AFTER = 16;

/** How many nodes the page has. */
const countNodes = () => document.getElementsByTagName("*").length;

export class Mounted {
  /** The mounted chunks, from the first to the last one. */
  range = signal({ first: 0, last: -1 });
  /** Which messages of the only chunk are mounted, while the others wait for the first
   * paint. @type {import("@preact/signals").Signal<{ from: number, to: number } | null>} */
  part = signal(/** @type {{ from: number, to: number } | null} */ (null));
  /** The chunk that the reader waits for. */
  #wanted = -1;
  #turn = 0;
  #isIdle = true;

  /** @param {import("./open_session.js").OpenSession} open */
  constructor(open) {
    this.open = open;
    this.chunks = open.chunks;
  }

  /** Load a chunk and mount it, with its neighbours if they are mounted.
   * @param {number} k @param {number} at the wanted message, from 0 in the chunk
   * @returns {Promise<boolean>} false if another one was asked for since */
  async show(k, at) {
    const turn = ++this.#turn;
    this.#wanted = k;
    await this.chunks.load(k).catch(this.forgive);
    if (this.#turn !== turn) return false;
    this.#wanted = -1;
    if (!this.chunks.messages(k).length && this.chunks.length) return false;
    if (!this.#join(k)) this.#mountPart(k, at);
    // Preact has rendered it after one turn.
    await null;
    return true;
  }

  /** @param {number} k @param {number} at */
  #mountPart(k, at) {
    this.#mount({ first: k, last: k }, { from: Math.max(0, at - BEFORE), to: at + AFTER });
    requestAnimationFrame(() => whenIdle(() => (this.part.value = null)));
  }

  /** @param {{ first: number, last: number }} range @param {{ from: number, to: number } | null} [part] */
  #mount(range, part = null) {
    batch(() => {
      this.range.value = range;
      this.part.value = part;
    });
  }

  /** Load a neighbour of what is mounted. The reader may be elsewhere when it comes.
   * @param {number} k */
  async #extend(k) {
    await this.chunks.load(k).catch(this.forgive);
    if (this.#wanted < 0 && this.chunks.messages(k).length) this.#join(k);
  }

  /** Mount a chunk if that leaves no gap. @param {number} k */
  #join(k) {
    const { first, last } = this.range.peek();
    if (last < first || k < first - 1 || k > last + 1) return false;
    if (k < first || k > last) this.#mount({ first: Math.min(first, k), last: Math.max(last, k) });
    return true;
  }

  /** Requests end with the session, and the connection says for itself that it is away. */
  forgive = (/** @type {any} */ error) => {
    if (!this.open.signal.aborted) this.open.error.value = error;
  };

  /** Mount what the reader will soon see, and unmount what is far away.
   * @param {HTMLElement} box @param {boolean} isFollowing @param {(k: number) => void} onFar gets the wanted chunk
   * @param {() => number} chunkAtReader */
  grow(box, isFollowing, onFar, chunkAtReader) {
    const { first, last } = this.range.peek();
    const sections = sectionsOf(box);
    if (!sections.length || last < first || this.part.peek()) return;
    const height = box.clientHeight;
    const above = -offsetIn(box, sections[0]);
    const below = offsetIn(box, sections[sections.length - 1]) + sections[sections.length - 1].clientHeight - height;
    const hasBelow = last < this.chunks.length - 1;
    if (above < -height || (hasBelow && below < -height)) this.#catchUp(chunkAtReader(), onFar);
    else if (hasBelow && (below < AHEAD * height || isFollowing)) this.#extend(last + 1);
    else if (first > 0 && above < AHEAD * height) this.#extend(first - 1);
    else if (!this.#trim(sections, height, above, below)) this.#growWhenIdle();
  }

  /** The reader has dragged the scrollbar to a place that is not mounted.
   * @param {number} k @param {(k: number) => void} onFar */
  #catchUp(k, onFar) {
    if (this.#wanted === k) return;
    const turn = ++this.#turn;
    this.#wanted = k;
    this.chunks.load(k).catch(this.forgive).then(() => {
      if (this.#turn !== turn) return;
      this.#wanted = -1;
      onFar(k);
      this.#mount({ first: k, last: k });
    });
  }

  /** Unmount the farther end if there is too much, and nothing in it is in use.
   * @param {NodeListOf<Element>} sections @param {number} height of the screen
   * @param {number} above pixels above the screen @param {number} below @returns {boolean} */
  #trim(sections, height, above, below) {
    const { first, last } = this.range.peek();
    const isUpper = above > below;
    const far = sections[isUpper ? 0 : sections.length - 1];
    const isFull = last - first >= MAX_CHUNKS || countNodes() > MAX_NODES;
    const isFar = Math.max(above, below) > (AHEAD + 1) * height + far.clientHeight;
    const isInUse = far.contains(document.activeElement) || (getSelection()?.type === "Range" && getSelection()?.containsNode(far, true));
    if (first === last || !isFull || !isFar || isInUse) return false;
    this.range.value = isUpper ? { first: first + 1, last } : { first, last: last - 1 };
    return true;
  }

  #growWhenIdle() {
    if (!this.#isIdle) return;
    this.#isIdle = false;
    whenIdle(() => {
      this.#isIdle = true;
      const { first, last } = this.range.peek();
      const size = last - first + 1;
      const hasRoom = size < MAX_CHUNKS && (countNodes() / size) * (size + 1) < MAX_NODES;
      if (this.open.signal.aborted || !hasRoom) return;
      if (first > 0) this.#extend(first - 1);
      else if (last < this.chunks.length - 1) this.#extend(last + 1);
    });
  }
}
