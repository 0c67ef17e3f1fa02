// The only module that sends messages. A message is written to the browser's storage
// before the first try, and removed when the server has answered.
import { signal } from "@preact/signals";
import { awaySince, get, NoAnswer, post, Problem, uuid4 } from "../api.js";
import { onStored, readStored, storedNames, writeStored } from "../storage.js";

// The server remembers a key for 24 hours.
const KEY_MS = 23 * 3_600_000;
const MIN_DELAY_MS = 1_000;
const MAX_DELAY_MS = 60_000;
const MAX_PAUSE_MS = 3_600_000;
const LEASE_MS = 10_000;
const PAGE = 500;
// Of these the outcome is unknown, or the server asks to come back later.
const LATER = [401, 408, 425, 429, 500, 502, 503, 504];
// These are said of the server, whatever the session.
const BUSY = [429, 503];
const NAME = "outbox:";

/**
 * @typedef {object} Entry
 * @property {string} name where it is stored; in the order of writing
 * @property {string} sessionId
 * @property {string} key Idempotency-Key
 * @property {Record<string, any>} body
 * @property {number} writtenAt
 * @property {number | null} triedAt the first try with this key
 * @property {number} lastSeq the last seq that was shown when it was written
 * @property {{ reason: string, requestId: string } | null} refusal
 * @property {boolean} [isOnlyInMemory] no page after this one finds it
 */

/** All messages that wait or were refused, in the order of writing. */
export const entries = signal(/** @type {Entry[]} */ ([]));
/** @type {Map<string, Entry>} What the storage did not take; it may have an older version. */
const inMemory = new Map();
/** @type {Set<(sessionId: string) => any>} */
const listeners = new Set();
const self = uuid4();
let isSending = false;
let delay = MIN_DELAY_MS;
let pausedUntil = 0;
let timer = 0;
let lastWrittenAt = 0;

/** Call `react` after each message that this tab has sent. Returns a function that ends it.
 * @param {(sessionId: string) => any} react */
export function onSent(react) {
  listeners.add(react);
  return () => listeners.delete(react);
}

/**
 * Write a message down and send it as soon as the server answers.
 * @param {string} sessionId @param {Record<string, any>} body @param {number} lastSeq
 */
export function addMessage(sessionId, body, lastSeq) {
  // Messages of one millisecond keep their order, also if the clock was set back.
  lastWrittenAt = Math.max(Date.now(), lastWrittenAt + 1, (entries.value.at(-1)?.writtenAt ?? 0) + 1);
  const name = `${NAME}${String(lastWrittenAt).padStart(15, "0")}:${uuid4()}`;
  keep({ name, sessionId, key: uuid4(), body, writtenAt: lastWrittenAt, triedAt: null, lastSeq, refusal: null });
  sendSoon(0);
}

/** Remove a refused message. @param {Entry} entry */
export const discard = (entry) => drop(entry);

/** Read the storage, and send what an earlier page has left there. */
export function startOutbox() {
  refresh();
  onStored(NAME, refresh);
  awaySince.subscribe((since) => since ?? sendSoon());
  addEventListener("pagehide", releaseLease);
}

/** Send what waits in `ms`, or later if the server has asked for a pause. */
function sendSoon(ms = 0) {
  clearTimeout(timer);
  timer = setTimeout(sendAll, Math.max(ms, pausedUntil - Date.now()));
}

function refresh() {
  const names = storedNames(NAME).filter((name) => !inMemory.has(name));
  const stored = names.map((name) => readStored(name)).filter((each) => each?.body && each.name);
  entries.value = [...stored, ...inMemory.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param {Entry} entry */
function keep(entry) {
  const kept = { ...entry, isOnlyInMemory: undefined };
  // Some browsers take what they do not give back.
  if (writeStored(entry.name, kept) && readStored(entry.name) !== null) inMemory.delete(entry.name);
  else {
    inMemory.set(entry.name, { ...entry, isOnlyInMemory: readStored(entry.name) === null });
    addEventListener("beforeunload", askToStay);
  }
  refresh();
}

/** @param {Event} event */
function askToStay(event) {
  if (entries.value.some((each) => each.isOnlyInMemory)) event.preventDefault();
}

/** @param {Entry} entry */
function drop(entry) {
  writeStored(entry.name, null);
  inMemory.delete(entry.name);
  refresh();
}

/** One tab sends: by a lock where the browser has them, otherwise by a lease. */
async function sendAll() {
  if (isSending) return;
  isSending = true;
  try {
    if (navigator.locks) {
      await navigator.locks.request("chatstore:outbox", { ifAvailable: true }, async (lock) => {
        if (lock) await sendWaiting();
      });
    } else if (holdLease()) {
      const renewal = setInterval(holdLease, LEASE_MS / 3);
      await sendWaiting().finally(() => (clearInterval(renewal), releaseLease()));
    }
  } finally {
    isSending = false;
    // Another tab may have stopped with messages left, so look again while some wait.
    if (entries.value.some(isWaiting)) sendSoon(delay);
  }
}

function holdLease() {
  const lease = readStored("sender");
  if (lease && lease.tab !== self && lease.until > Date.now()) return false;
  writeStored("sender", { tab: self, until: Date.now() + LEASE_MS });
  return true;
}

function releaseLease() {
  if (readStored("sender")?.tab === self) writeStored("sender", null);
}

/** @param {Entry} entry */
const isWaiting = (entry) => entry.refusal === null;

/** Each session's messages in their order. One that must wait holds those of its session
 * only, unless the server is away or busy. */
async function sendWaiting() {
  // By now the storage may have room.
  for (const each of inMemory.values()) keep(each);
  refresh();
  /** @type {Set<string>} */
  const held = new Set();
  for (;;) {
    const entry = entries.value.find((each) => isWaiting(each) && !held.has(each.sessionId));
    if (!entry) break;
    const error = await sendOne(entry);
    if (error === null) {
      delay = MIN_DELAY_MS;
      continue;
    }
    held.add(entry.sessionId);
    if (error instanceof NoAnswer) break;
    if (BUSY.includes(error.status)) {
      pausedUntil = Date.now() + Math.min(error.retryAfterSeconds * 1_000, MAX_PAUSE_MS);
      break;
    }
  }
  if (held.size) delay = Math.min(delay * 2, MAX_DELAY_MS);
}

/** Send `entry`; return the error after which it must wait, and null if its outcome is
 * known. @param {Entry} entry */
async function sendOne(entry) {
  try {
    const isOld = entry.triedAt !== null && Date.now() - entry.triedAt > KEY_MS;
    if (isOld && (await isStored(entry))) return null;
    const tried = isOld ? { ...entry, key: uuid4(), triedAt: null } : entry;
    const started = { ...tried, triedAt: tried.triedAt ?? Date.now() };
    keep(started);
    const path = `/sessions/${entry.sessionId}/messages`;
    await post(path, entry.body, { key: started.key });
    drop(entry);
    for (const each of listeners) each(entry.sessionId);
    return null;
  } catch (error) {
    if (error instanceof NoAnswer) return error;
    if (!(error instanceof Problem)) throw error;
    if (LATER.includes(error.status)) return error;
    const kept = entries.value.find((each) => each.name === entry.name) ?? entry;
    keep({ ...kept, refusal: { reason: error.message, requestId: error.requestId } });
    return null;
  }
}

/**
 * Look whether a message was stored whose key the server has forgotten.
 * @param {Entry} entry
 */
async function isStored(entry) {
  let after = entry.lastSeq;
  for (;;) {
    const query = { after, limit: PAGE, fields: "seq,role,content" };
    const page = await get(`/sessions/${entry.sessionId}/messages`, query);
    const same = page.messages.find(
      (/** @type {any} */ each) => each.content === entry.body.content && each.role === entry.body.role,
    );
    if (same) {
      // An equal text that waits behind this one needs a message of its own.
      for (const each of entries.value) {
        if (each.sessionId === entry.sessionId && each !== entry) {
          keep({ ...each, lastSeq: Math.max(each.lastSeq, same.seq) });
        }
      }
      drop(entry);
      return true;
    }
    if (!page.has_more || !page.messages.length) return false;
    after = page.messages.at(-1).seq;
  }
}
