// Shows the messages of the open session, and alone scrolls them.
import { signal } from "@preact/signals";
import { Component } from "preact";
import { CHUNK } from "./chunks.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { Mounted } from "./mounted.js";
import { firstSeen, offsetIn, sectionsOf, messageIn } from "../places.js";
import { Section } from "./section.js";
import { Heights } from "./spacers.js";
import { words } from "../words.js";

const AT_END_PX = 8;
const TARGET_TOP_PX = 72;

/**
 * @typedef {object} Props
 * @property {import("./open_session.js").OpenSession} open
 * @property {{ seq: number, offset?: number, isMarked?: boolean } | null} start null opens at the end
 * @property {{ seq: number, since: string } | null} unread the first message that is new
 * @property {(transcript: Transcript) => void} onReady
 * @property {(transcript: Transcript) => void} onMove the reader may be somewhere else now
 * @property {any} [children] what follows the messages
 */

/** @extends {Component<Props>} */
export class Transcript extends Component {
  /** Whether the reader is at the end and stays there when messages come. */
  isFollowing = signal(true);
  /** The message of the address or of a search, with a ring around it. */
  hit = signal(/** @type {number | null} */ (null));
  /** @type {HTMLElement} */
  box = /** @type {any} */ (null);
  /** Where the one function that scrolls has left the transcript. */
  lastTop = 0;
  /** What stays in its place while messages come and go around it.
   * @type {{ article: HTMLElement, offset: number } | null} */
  anchor = null;
  /** The message to scroll to once it is there; without a seq it is the end.
   * @type {{ seq?: number, offset: number } | null} */
  target = null;
  isPrinting = false;

  /** @param {Props} props */
  constructor(props) {
    super(props);
    this.chunks = props.open.chunks;
    this.mounted = new Mounted(props.open);
    this.heights = new Heights(this.chunks);
  }

  componentDidMount() {
    this.observer = new ResizeObserver(() => (this.noteReader(), this.settle()));
    this.observer.observe(this.box);
    for (const each of this.box.children) this.observer.observe(each);
    const { start } = this.props;
    if (start) this.jump(start.seq, start);
    else this.jumpToEnd();
    this.props.onReady(this);
  }

  componentWillUnmount() {
    this.observer?.disconnect();
  }

  getSnapshotBeforeUpdate() {
    this.noteReader();
    if (!this.anchor?.article.isConnected) this.anchor = firstSeen(this.box);
    return null;
  }

  componentDidUpdate() {
    this.sizeSpacers();
    this.settle();
    this.grow();
  }

  /** @param {Props} props */
  render({ open, unread, children }) {
    const { first, last } = this.mounted.range.value;
    const part = this.mounted.part.value;
    open.chunks.version.value;
    const hit = this.hit.value;
    const { onChanged } = this;
    const sections = [];
    for (let k = first; k <= last; k++) {
      const messages = open.chunks.messages(k);
      const before = k > 0 ? open.chunks.messages(k - 1).at(-1) : null;
      const isHere = hit !== null && messages.some((each) => each.seq === hit);
      sections.push(h(Section, { key: k, k, messages, part, before, unread, hit: isHere ? hit : null, sessionId: open.id, onChanged }));
    }
    return html`<div class="transcript-frame">
      <div class="transcript" id="transcript" role="log" aria-live="off" aria-label=${words.transcript.conversation} tabindex="0"
        ref=${(/** @type {any} */ box) => (this.box = box ?? this.box)} onScroll=${this.onScroll}>
        <div class="column">
          <div class="spacer"></div>${sections}<div class="spacer"></div>
          ${children}
        </div>
      </div>
      ${!this.isFollowing.value && html`<button class="jump" onClick=${() => this.jumpToEnd()}>
        ${h(Icon, { name: "arrowDown", size: 14 })}${words.transcript.toEnd}
      </button>`}
    </div>`;
  }

  /** A message has changed by an act of its own. @param {any} [message] nothing if others may have changed too */
  onChanged = (message) => {
    if (message) this.chunks.replace({ ...this.chunks.find(message.seq), ...message });
    else this.props.open.showBranch(null);
  };

  /** The only function that scrolls. @param {number} top */
  write(top) {
    if (Math.abs(top - this.box.scrollTop) >= 0.5) this.box.scrollTop = top;
    this.lastTop = this.box.scrollTop;
  }

  /** Where the transcript is and we did not put it, there the reader has scrolled. The
   * event may come later than what we do next. @returns {boolean} */
  noteReader() {
    if (Math.abs(this.box.scrollTop - this.lastTop) < 1) return false;
    this.lastTop = this.box.scrollTop;
    this.isFollowing.value = this.isAtEnd();
    this.anchor = firstSeen(this.box);
    return true;
  }

  onScroll = () => {
    this.noteReader();
    this.grow();
    this.props.onMove(this);
  };

  /** Put what the reader looks at where it was, or where it is wanted. */
  settle() {
    if (this.target && !this.target.seq && this.mounted.range.peek().last >= this.chunks.length - 1) {
      this.target = null;
      this.isFollowing.value = true;
    }
    const wanted = this.target?.seq && messageIn(this.box, this.target.seq);
    if (wanted && this.target) {
      this.write(this.box.scrollTop + offsetIn(this.box, wanted) - this.target.offset);
      this.anchor = { article: wanted, offset: offsetIn(this.box, wanted) };
      this.target = null;
      this.isFollowing.value = this.isAtEnd();
    } else if (this.isFollowing.peek()) {
      this.write(this.box.scrollHeight - this.box.clientHeight);
      this.anchor = firstSeen(this.box);
    } else if (this.anchor?.article.isConnected) {
      this.write(this.box.scrollTop + offsetIn(this.box, this.anchor.article) - this.anchor.offset);
    } else {
      this.anchor = firstSeen(this.box);
    }
    this.props.onMove(this);
  }

  isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    return scrollHeight - scrollTop - clientHeight < AT_END_PX && this.mounted.range.peek().last >= this.chunks.length - 1;
  }

  grow() {
    // The reader is about to be elsewhere.
    if (this.isPrinting || this.target) return;
    const forgetPlace = () => (this.anchor = null);
    this.mounted.grow(this.box, this.isFollowing.peek(), forgetPlace, () => this.heights.chunkAt(this.box.scrollTop));
  }

  /** Show a message. Returns its place once it is there, or null if it is on another branch.
   * @param {number} seq @param {{ offset?: number, isMarked?: boolean }} [options] */
  async jump(seq, { offset = TARGET_TOP_PX, isMarked = false } = {}) {
    const position = this.chunks.path.positionOf(seq);
    if (position < 0) return null;
    this.hit.value = isMarked ? seq : null;
    await this.scrollTo({ seq, offset }, position);
    return messageIn(this.box, seq);
  }

  jumpToEnd() {
    return this.scrollTo({ offset: 0 }, Math.max(0, this.chunks.path.length - 1));
  }

  /** @param {{ seq?: number, offset: number }} target @param {number} position of the message on the path */
  async scrollTo(target, position) {
    this.target = target;
    this.isFollowing.value = false;
    const isShown = await this.mounted.show(Math.floor(position / CHUNK), position % CHUNK);
    if (isShown && this.target === target) this.settle();
    if (this.target === target) this.target = null;
    this.grow();
  }

  /** Give the chunks that are not mounted their place. */
  sizeSpacers() {
    const { first, last } = this.mounted.range.peek();
    const part = this.mounted.part.peek();
    if (!part) this.heights.measure(sectionsOf(this.box), first);
    const [top, bottom] = /** @type {any} */ (this.box.querySelectorAll(".spacer"));
    top.style.height = `${this.heights.sum(0, first)}px`;
    // A reader at the end must see the last message, not the place of those to come.
    const rest = part ? this.heights.of(last) : 0;
    bottom.style.height = `${this.isFollowing.peek() ? 0 : rest + this.heights.sum(last + 1, this.chunks.length)}px`;
  }

  /** Print the whole session: for that, and only for that, all of it is mounted. */
  async print() {
    const { range } = this.mounted;
    const before = range.peek();
    this.isPrinting = true;
    try {
      for (let k = 0; k < this.chunks.length; k++) await this.chunks.load(k);
      range.value = { first: 0, last: this.chunks.length - 1 };
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      window.print();
    } catch (error) {
      this.mounted.forgive(error);
    } finally {
      this.isPrinting = false;
      range.value = before;
    }
  }
}
