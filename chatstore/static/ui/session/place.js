// Where the reader is in a session: kept for Back and reload, and as the mark of what is read.
import { signal } from "@preact/signals";
import { markRead } from "./read_marks.js";
import { route } from "../router.js";

// Browsers refuse more than 100 changes of the history in 30 s.
const PAUSE_MS = 400;

export class Place {
  /** The first message that is seen. */
  here = signal(/** @type {number | null} */ (null));
  /** Counts how often the reader or the messages moved. */
  moves = signal(0);
  #timer = 0;
  #transcript = /** @type {import("./transcript.js").Transcript | null} */ (null);

  /** @param {import("./open_session.js").OpenSession} open */
  constructor(open) {
    this.open = open;
    // A pagehide comes too late to change the history.
    addEventListener("beforeunload", this.#leave);
  }

  /** Where the session opens: at the message of the address, where the reader was, at the
   * first unread message, or at the end. @param {{ seq: number } | null} unread
   * @returns {{ seq: number, offset?: number, isMarked?: boolean } | null} */
  start(unread) {
    const { seq } = route.peek();
    const { path } = this.open.chunks;
    if (seq && path.positionOf(seq) >= 0) return { seq, isMarked: true };
    const kept = history.state?.place;
    if (kept && kept.id === this.open.id && path.positionOf(kept.seq) >= 0) return kept;
    return unread && { seq: unread.seq };
  }

  /** @param {import("./transcript.js").Transcript} transcript */
  onMove = (transcript) => {
    const article = transcript.anchor?.article;
    if (article) this.here.value = Number(article.dataset.seq);
    if (this.#timer) return;
    this.#transcript = transcript;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.moves.value++;
      this.#keep(transcript);
    }, PAUSE_MS);
  };

  /** The page ends before the pause does. */
  #leave = () => {
    if (this.#timer && this.#transcript) this.#keep(this.#transcript);
  };

  /** @param {import("./transcript.js").Transcript} transcript */
  #keep(transcript) {
    const { anchor, isFollowing, chunks, box } = transcript;
    if (this.open.signal.aborted || !box.isConnected) return;
    const isEnd = transcript.isAtEnd();
    if (isEnd && chunks.path.headSeq && !document.hidden) markRead(this.open.id, chunks.path.headSeq);
    if (route.peek().sessionId !== this.open.id) return;
    const seq = Number(anchor?.article.dataset.seq);
    const place = isFollowing.peek() || !anchor || !seq ? null : { id: this.open.id, seq, offset: anchor.offset };
    history.replaceState({ ...history.state, place }, "");
  }

  end() {
    removeEventListener("beforeunload", this.#leave);
    clearTimeout(this.#timer);
  }
}
