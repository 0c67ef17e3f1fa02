// The messages of a path, read 50 at a time. A position on the path is arithmetic over
// its runs of consecutive seqs, so any place is reached without a search.
import { signal } from "@preact/signals";
import { get } from "../api.js";

export const CHUNK = 50;

/** @typedef {Api["Message"]} Message */

/** The seqs from the beginning of a conversation to one message. */
export class Path {
  /** @param {[number, number][]} [runs] @param {number | null} [headSeq] */
  constructor(runs = [], headSeq = null) {
    this.runs = runs;
    this.headSeq = headSeq;
    this.length = 0;
    /** @type {number[]} the position at which each run begins */
    this.starts = [];
    for (const [first, last] of runs) {
      this.starts.push(this.length);
      this.length += last - first + 1;
    }
  }

  /** @param {number} position from 0 */
  seqAt(position) {
    const run = lastAtMost(this.starts, position);
    return this.runs[run][0] + position - this.starts[run];
  }

  /** The position of a message, or -1 if it is on another branch. @param {number} seq */
  positionOf(seq) {
    const run = lastAtMost(this.runs.map(([first]) => first), seq);
    if (run < 0 || seq > this.runs[run][1]) return -1;
    return this.starts[run] + seq - this.runs[run][0];
  }

  /** How many messages two paths have in common. @param {Path} other */
  commonLength(other) {
    let common = 0;
    for (let run = 0; run < Math.min(this.runs.length, other.runs.length); run++) {
      const [[first, last], [otherFirst, otherLast]] = [this.runs[run], other.runs[run]];
      if (first !== otherFirst) break;
      common += Math.min(last, otherLast) - first + 1;
      if (last !== otherLast) break;
    }
    return common;
  }
}

/** The last index whose value is at most `limit`. @param {number[]} values sorted @param {number} limit */
function lastAtMost(values, limit) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= limit) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The chunks of one session that are loaded. Chunk k has the positions from 50 k on. */
export class Chunks {
  /** @type {Map<number, Message[]>} */
  #loaded = new Map();
  /** @type {Map<number, Promise<void>>} */
  #requests = new Map();
  /** Grows with each change of what is loaded. */
  version = signal(0);
  path = new Path();

  /** @param {string} sessionId @param {AbortSignal} ended */
  constructor(sessionId, ended) {
    this.address = `/sessions/${sessionId}/messages`;
    this.ended = ended;
  }

  get length() {
    return Math.ceil(this.path.length / CHUNK);
  }

  /** How many messages the chunk has on the path. @param {number} k */
  sizeOf(k) {
    return Math.max(0, Math.min(CHUNK, this.path.length - k * CHUNK));
  }

  /** The messages that are loaded of the chunk. @param {number} k @returns {Message[]} */
  messages(k) {
    return this.#loaded.get(k) ?? [];
  }

  /** @param {number} k */
  isComplete(k) {
    return this.messages(k).length === this.sizeOf(k);
  }

  /** A message if it is loaded. @param {number} seq */
  find(seq) {
    const position = this.path.positionOf(seq);
    return position < 0 ? undefined : this.messages(Math.floor(position / CHUNK))[position % CHUNK];
  }

  /** Keep what both paths have, and drop the rest. @param {Path} path */
  setPath(path) {
    const common = this.path.commonLength(path);
    this.path = path;
    for (const [k, messages] of this.#loaded) {
      const kept = Math.min(messages.length, Math.max(0, common - k * CHUNK));
      if (kept === 0) this.#loaded.delete(k);
      else if (kept < messages.length) this.#loaded.set(k, messages.slice(0, kept));
    }
    this.version.value++;
  }

  /** Read what is missing of a chunk. @param {number} k */
  load(k) {
    const request = this.#requests.get(k) ?? this.#read(k).finally(() => this.#requests.delete(k));
    this.#requests.set(k, request);
    return request;
  }

  /** @param {number} k */
  async #read(k) {
    while (!this.isComplete(k)) {
      const { path } = this;
      const has = this.messages(k).length;
      const { messages } = await this.#get({
        path: path.headSeq,
        after: path.seqAt(k * CHUNK + has) - 1,
        limit: this.sizeOf(k) - has,
      });
      if (!messages.length && path === this.path) return;
      this.#add(k, has, messages);
    }
  }

  /** Add what still fits: the path may be another one since the request.
   * @param {number} k @param {number} from @param {Message[]} messages */
  #add(k, from, messages) {
    const before = this.messages(k);
    if (before.length !== from) return;
    const fitting = messages.filter((each, index) => this.path.positionOf(each.seq) === k * CHUNK + from + index);
    if (!fitting.length) return;
    this.#loaded.set(k, [...before, ...fitting]);
    this.version.value++;
  }

  /** Read one message again if it is loaded, for example after an edit. @param {number} seq */
  async reload(seq) {
    if (!this.find(seq)) return;
    const { messages } = await this.#get({ path: this.path.headSeq, after: seq - 1, limit: 1 });
    if (messages[0]?.seq === seq) this.replace(messages[0]);
  }

  /** @param {Message} message */
  replace(message) {
    const position = this.path.positionOf(message.seq);
    const k = Math.floor(position / CHUNK);
    if (!this.messages(k)[position % CHUNK]) return;
    this.#loaded.set(k, this.messages(k).with(position % CHUNK, message));
    this.version.value++;
  }

  /** Read all loaded chunks again, because anything in them may have changed. */
  async reloadAll() {
    for (const k of [...this.#loaded.keys()]) {
      const size = this.messages(k).length;
      const { messages } = await this.#get({
        path: this.path.headSeq,
        after: this.path.seqAt(k * CHUNK) - 1,
        limit: size,
      });
      for (const each of messages) {
        if (!isSame(each, this.find(each.seq))) this.replace(each);
      }
    }
  }

  /** @param {Record<string, any>} query @returns {Promise<{ messages: Message[] }>} */
  #get(query) {
    return get(this.address, { siblings: true, ...query }, { signal: this.ended });
  }
}

/** @param {any} one @param {any} other */
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
