// Remembers how far each session was read on this device.
import { readStored, storedNames, writeStored } from "../storage.js";

// A mark has about 60 bytes, so all together stay far below the 5 MB of the browser.
const MAX_MARKS = 2_000;

/** @typedef {{ seq: number, at: string }} Mark the last message that was seen, and when */

/** @param {string} sessionId @returns {Mark | null} */
export function readMark(sessionId) {
  const mark = readStored(`read:${sessionId}`);
  return Number.isInteger(mark?.seq) && !isNaN(Date.parse(mark.at)) ? mark : null;
}

/** @param {string} sessionId @param {number} seq @param {Date} [now] */
export function markRead(sessionId, seq, now = new Date()) {
  const before = readMark(sessionId);
  if (before?.seq === seq) return;
  if (!before) forgetOldest();
  writeStored(`read:${sessionId}`, { seq, at: now.toISOString() });
}

/** The first message of the path after the mark, with the time of the mark; null if all is read.
 * @param {string} sessionId @param {import("./chunks.js").Path} path
 * @returns {{ seq: number, since: string } | null} */
export function findUnread(sessionId, path) {
  const mark = readMark(sessionId);
  const position = mark ? path.positionOf(mark.seq) : -1;
  if (!mark || position < 0 || position + 1 >= path.length) return null;
  return { seq: path.seqAt(position + 1), since: mark.at };
}

function forgetOldest() {
  const names = storedNames("read:");
  if (names.length < MAX_MARKS) return;
  const oldest = names.map((name) => [readStored(name)?.at ?? "", name]).sort().slice(0, MAX_MARKS / 10);
  for (const [, name] of oldest) writeStored(name, null);
}
