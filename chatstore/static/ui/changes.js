// Follows the change feed for all tabs of the browser: one tab polls, the others listen.
// A visible tab takes the poll from a hidden one. The lease has the token, so the next
// poller goes on where the last one stopped, and nothing need be read again.
import { awaySince, get, NoAnswer, Problem } from "./api.js";
import { readStored, writeStored } from "./storage.js";

const WAIT_SECONDS = 25;
const LOOK_MS = 1_000;
// Browsers let a hidden tab run once a minute, so it asks at each of these times.
const HIDDEN_MS = 45_000;
const LEASE_MS = 5_000;
const HIDDEN_LEASE_MS = 150_000;
const MIN_DELAY_MS = 5_000;
const MAX_DELAY_MS = 60_000;
// After a longer time it costs less to read again than to read all changes.
const TOKEN_MS = 600_000;
// The list waits this long for the first token.
const START_MS = 1_000;
const LEASE = "poller";

/** @typedef {Api["Change"]} Change */
/** @type {Set<(changes: Change[] | null) => void>} */
const listeners = new Set();
const self = crypto.getRandomValues(new Uint32Array(2)).join("-");
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("chatstore:changes") : null;
/** @type {string | null} */
let token = null;
// Without a lease each tab polls for itself alone.
let isAlone = !channel;
let wake = () => {};
let request = new AbortController();
let begin = () => {};
const hasBegun = /** @type {Promise<void>} */ (new Promise((done) => (begin = done)));

/** Wait until changes from now on are told: what is read after that misses none. */
export const feedStart = () => Promise.race([hasBegun, new Promise((done) => setTimeout(done, START_MS))]);

/**
 * Call `react` with each page of changes, and with null when changes may have been missed,
 * so that all that is shown must be read again. Returns a function that ends it.
 * @param {(changes: Change[] | null) => void} react
 */
export function onChanges(react) {
  listeners.add(react);
  return () => listeners.delete(react);
}

/** @param {Change[] | null} changes */
function tell(changes) {
  // An error of one listener must end neither the others nor the poller.
  for (const each of listeners) queueMicrotask(() => each(changes));
}

/** Pause until `wake` is called or the time is over. @param {number} ms */
function pause(ms) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    wake = () => (clearTimeout(timer), done(null));
  });
}

/** Ask again now, in another way. */
function interrupt() {
  request.abort();
  wake();
}

/** Hold or take the lease of the one poller of this browser. */
function holdLease() {
  if (!channel) return true;
  const lease = readStored(LEASE);
  const isOwn = lease?.tab === self;
  if (lease && !isOwn && lease.until > Date.now() && (document.hidden || !lease.isHidden)) return false;
  const kept = lease && !isOwn && lease.at > Date.now() - TOKEN_MS ? lease.token : token;
  const until = Date.now() + (document.hidden ? HIDDEN_LEASE_MS : LEASE_MS);
  isAlone = !writeLease(self, until, kept);
  if (!isAlone) token = kept;
  return true;
}

/** @param {string} tab @param {number} until @param {string | null} held */
const writeLease = (tab, until, held) =>
  writeStored(LEASE, { tab, until, isHidden: document.hidden, token: held, at: Date.now() });

/** @param {() => void} act */
const ifOwn = (act) => () => readStored(LEASE)?.tab === self && act();

/** Poll until the page is left. */
export async function startChanges() {
  if (channel) channel.onmessage = ({ data }) => tell(data);
  setInterval(ifOwn(holdLease), LEASE_MS / 3);
  addEventListener("pagehide", ifOwn(() => writeLease("", 0, token)));
  document.addEventListener("visibilitychange", () => (ifOwn(holdLease)(), interrupt()));
  addEventListener("online", interrupt);
  addEventListener("offline", interrupt);
  // Another request was answered, so this one may be too.
  awaySince.subscribe((since) => since || wake());
  let delay = MIN_DELAY_MS;
  for (;;) {
    const isPoller = holdLease();
    if (!isPoller || token) begin();
    try {
      // A tab that listens asks only whether the server is back.
      if (isPoller) await poll();
      else if (awaySince.peek()) await get("/me");
      else await pause(LOOK_MS);
      delay = MIN_DELAY_MS;
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") continue;
      if (!(error instanceof NoAnswer || error instanceof Problem)) throw error;
      if (error instanceof Problem && [400, 410].includes(error.status) && token) {
        token = null;
        continue;
      }
      const asked = error instanceof Problem ? error.retryAfterSeconds * 1_000 : 0;
      await pause(Math.max(delay, Math.min(asked, MAX_DELAY_MS)));
      delay = Math.min(delay * 2, MAX_DELAY_MS);
    } finally {
      begin();
    }
  }
}

/** Ask once, and tell what has changed. */
async function poll() {
  const isWaiting = !document.hidden && !awaySince.peek();
  const query = token ? { since: token, wait: isWaiting ? WAIT_SECONDS : 0 } : {};
  request = new AbortController();
  const page = await get("/changes", query, { signal: request.signal, timeoutMs: 60_000 });
  const changes = token === null ? null : page.changes;
  if (!changes || changes.length) {
    tell(changes);
    if (!isAlone) channel?.postMessage(changes);
  }
  token = page.next;
  ifOwn(holdLease)();
  if (page.has_more) return;
  if (document.hidden) await pause(HIDDEN_MS);
  else if (!page.changes.length) await pause(LOOK_MS);
}
