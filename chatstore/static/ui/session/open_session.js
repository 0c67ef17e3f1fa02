// The open session: its fields, its path and its messages, kept fresh by the change feed.
import { signal } from "@preact/signals";
import { NoAnswer, Problem, send } from "../api.js";
import { onChanges } from "../changes.js";
import { onSent } from "../compose/outbox.js";
import { CHUNK, Chunks, Path } from "./chunks.js";

/** @typedef {Api["Session"]} Session */

export class OpenSession {
  #ended = new AbortController();
  #etag = "";
  #stopFollowing = () => {};
  /** @type {Promise<void> | null} */
  #refreshing = null;
  #isStale = false;

  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.session = signal(/** @type {Session | null} */ (null));
    /** "missing" was never there; "deleted" was deleted while it was shown. */
    this.state = signal(/** @type {"loading" | "ready" | "missing" | "deleted" | "failed"} */ ("loading"));
    this.error = signal(/** @type {any} */ (null));
    /** The last message of a branch that is shown in place of the session's own, or null. */
    this.branch = signal(/** @type {number | null} */ (null));
    this.chunks = new Chunks(id, this.#ended.signal);
    /** Called with the messages that came to the end since the session was opened. */
    this.onNew = (/** @type {import("./chunks.js").Message[]} */ _last, /** @type {number} */ _count) => {};
  }

  get signal() {
    return this.#ended.signal;
  }

  /** Read the session and its path, and follow its changes from then on. */
  async open() {
    const stopChanges = onChanges((changes) => this.#follow(changes));
    // What this tab has sent is shown also where no tab can follow the changes.
    const stopSent = onSent((sessionId) => sessionId === this.id && this.refresh());
    this.#stopFollowing = () => (stopChanges(), stopSent());
    await this.refresh();
  }

  /** Show another branch, or the session's own, until the session is left.
   * @param {number | null} head the last message of the branch */
  async showBranch(head) {
    this.branch.value = head;
    await this.refresh();
    // The reading that was under way may have begun with the branch before.
    if (this.#refreshing) await this.#refreshing;
  }

  /** End all requests: no answer may reach the session that is opened next. */
  close() {
    this.#stopFollowing();
    this.#ended.abort();
  }

  /** Read the session again. Calls while it is read cause one more reading. */
  refresh() {
    if (this.#refreshing) {
      this.#isStale = true;
      return this.#refreshing;
    }
    this.#refreshing = this.#read().finally(() => {
      this.#refreshing = null;
      if (this.#isStale && !this.signal.aborted) {
        this.#isStale = false;
        this.refresh();
      }
    });
    return this.#refreshing;
  }

  async #read() {
    try {
      const [answer, path] = await Promise.all([
        send("GET", `/sessions/${this.id}`, { signal: this.signal, ifNoneMatch: this.#etag }),
        send("GET", `/sessions/${this.id}/path`, { query: { head: this.branch.peek() }, signal: this.signal }),
      ]);
      if (answer.status !== 304) this.take(answer.data, answer.headers);
      const news = this.#takePath(new Path(path.data.runs, path.data.head_seq));
      this.state.value = "ready";
      await news;
    } catch (error) {
      this.#failUnlessEnded(error);
    }
  }

  /** Show a session that an act has answered. @param {Session} session @param {Headers} [headers] */
  take(session, headers) {
    this.#etag = headers?.get("ETag") ?? "";
    this.session.value = session;
  }

  /** @param {Path} path */
  async #takePath(path) {
    const before = this.chunks.path;
    const isFirst = this.state.peek() === "loading";
    if (path.headSeq === before.headSeq && path.length === before.length) return;
    this.chunks.setPath(path);
    if (isFirst) return;
    const common = before.commonLength(path);
    if (common < before.length) return this.chunks.load(Math.floor(Math.min(common, path.length - 1) / CHUNK));
    const last = this.chunks.length - 1;
    await this.chunks.load(last);
    const added = this.chunks.messages(last).filter((each) => path.positionOf(each.seq) >= before.length);
    if (added.length) this.onNew(added, path.length - before.length);
  }

  /** @param {any} error */
  #failUnlessEnded(error) {
    if (this.signal.aborted) return;
    if (error instanceof Problem && error.status === 404) {
      this.state.value = this.session.value ? "deleted" : "missing";
      return;
    }
    if (!(error instanceof NoAnswer || error instanceof Problem)) throw error;
    this.error.value = error;
    if (!this.session.value) this.state.value = "failed";
  }

  /** Changes may have been missed, so any message may be another one now. */
  async #refreshAll() {
    const before = this.#etag;
    await this.refresh();
    if (before && before !== this.#etag) await this.chunks.reloadAll().catch((error) => this.#failUnlessEnded(error));
  }

  /** @param {import("../changes.js").Change[] | null} changes */
  #follow(changes) {
    if (!changes) {
      this.#refreshAll();
      return;
    }
    for (const change of changes.filter((each) => each.session_id === this.id)) {
      if (change.kind === "session" && change.deleted) this.state.value = "deleted";
      else if (change.kind === "session") this.refresh();
      else if (change.seq) this.chunks.reload(change.seq).catch((error) => this.#failUnlessEnded(error));
    }
  }
}
