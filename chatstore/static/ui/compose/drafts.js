// Keeps what the reader writes, for each session, at each key.
import { readStored, storedNames, writeStored } from "../storage.js";

// Drafts of sessions that nobody opens again must not fill the storage.
const MAX_DRAFTS = 200;

/** @typedef {{ text: string, role: string, at: number }} Draft */

/** @param {string} sessionId @returns {Draft} */
export function readDraft(sessionId) {
  const draft = readStored(`draft:${sessionId}`);
  return typeof draft?.text === "string" ? draft : { text: "", role: "user", at: 0 };
}

/** Return whether the draft is kept. @param {string} sessionId @param {string} text @param {string} role */
export function writeDraft(sessionId, text, role) {
  const name = `draft:${sessionId}`;
  if (!text && role === "user") return writeStored(name, null);
  if (readStored(name) === null) forgetOldest();
  // Some browsers take what they do not give back.
  return writeStored(name, { text, role, at: Date.now() }) && readStored(name) !== null;
}

function forgetOldest() {
  const names = storedNames("draft:");
  if (names.length < MAX_DRAFTS) return;
  const oldest = names.map((name) => ({ name, at: readStored(name)?.at ?? 0 })).sort((a, b) => a.at - b.at)[0];
  writeStored(oldest.name, null);
}
