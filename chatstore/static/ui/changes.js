// Follows the change feed for all tabs of the browser: one tab polls, the others listen.
import { get, NoAnswer, Problem } from "./api.js";
import { readStored, writeStored } from "./storage.js";

const WAIT_SECONDS = 25;
const HIDDEN_MS = 60_000;
const LEASE_MS = 5_000;
const MAX_DELAY_MS = 60_000;

/** @typedef {Api["Change"]} Change */
/** @type {Set<(changes: Change[] | null) => void>} */
const listeners = new Set();
const self = crypto.getRandomValues(new Uint32Array(2)).join("-");
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("chatstore:changes") : null;

/**
 * Call `react` with each page of changes, and with null when the token was too old, so
 * that all that is shown must be read again. Returns a function that ends it.
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

/** @param {number} ms */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Hold or take the lease of the one poller of this browser. */
function isPoller() {
  const lease = readStored("poller");
  if (lease && lease.tab !== self && lease.until > Date.now()) return false;
  return writeStored("poller", { tab: self, until: Date.now() + LEASE_MS });
}

/** Poll until the page is left. */
export async function startChanges() {
  if (channel) channel.onmessage = ({ data }) => tell(data);
  setInterval(() => readStored("poller")?.tab === self && isPoller(), LEASE_MS / 3);
  addEventListener("pagehide", () => readStored("poller")?.tab === self && writeStored("poller", null));
  let token = null;
  let delay = 1_000;
  for (;;) {
    if (channel && !isPoller()) {
      token = null;
      await pause(1_000);
      continue;
    }
    try {
      const page = await get("/changes", token ? { since: token, wait: document.hidden ? 0 : WAIT_SECONDS } : {}, { timeoutMs: 60_000 });
      // Changes between two pollers may be missed, so a new poller reads all again.
      const changes = token === null ? null : page.changes;
      token = page.next;
      delay = 1_000;
      if (changes === null || changes.length) {
        tell(changes);
        channel?.postMessage(changes);
      }
      if (document.hidden) await untilSeen(HIDDEN_MS);
      else if (!page.changes.length) await pause(500);
    } catch (error) {
      if (error instanceof Problem && [400, 410].includes(error.status)) token = null;
      else if (!(error instanceof NoAnswer || error instanceof Problem)) throw error;
      await pause(delay);
      delay = Math.min(delay * 2, MAX_DELAY_MS);
    }
  }
}

/** @param {number} ms */
function untilSeen(ms) {
  return new Promise((done) => {
    const end = () => (clearTimeout(timer), document.removeEventListener("visibilitychange", end), done(null));
    const timer = setTimeout(end, ms);
    document.addEventListener("visibilitychange", end);
  });
}
