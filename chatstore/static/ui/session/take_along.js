// A session to take along: as Markdown, as JSON, or on paper.
import { get } from "../api.js";
import { copyText } from "../copy.js";
import { formatDayTime } from "../dates.js";
import { announce, notify, notifyError } from "../notices.js";
import { words } from "../words.js";

/** @typedef {import("./open_session.js").Session} Session */

const READ_MS = 120_000;

/** @param {string} id @returns {Promise<import("./chunks.js").Message[]>} */
const readAll = async (id) => (await get(`/sessions/${id}/messages`, { path: "head" }, { timeoutMs: READ_MS })).messages;

/** A fence that is longer than any in the text. @param {string} text @param {string} language */
function fenced(text, language) {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map((each) => each[0].length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

/** @param {Session} session @param {import("./chunks.js").Message[]} messages */
export function asMarkdown(session, messages) {
  const parts = messages.filter((each) => !each.deleted_at).map((message) => {
    const head = `## ${message.role}, ${formatDayTime(message.created_at ?? message.timestamp)} (${message.seq})`;
    const text = message.role === "tool" && message.content ? fenced(message.content, "") : message.content;
    const calls = message.tool_calls ?? (message.function_call && [message.function_call]);
    return [head, text, calls && fenced(JSON.stringify(calls, null, 2), "json")].filter(Boolean).join("\n\n");
  });
  return [`# ${session.name || words.untitled}`, ...parts].join("\n\n") + "\n";
}

/** @param {Session} session */
export async function copyAsMarkdown(session) {
  try {
    const isCopied = await copyText(asMarkdown(session, await readAll(session.id)));
    notify(isCopied ? { text: words.transcript.copiedMarkdown } : { text: words.copyFailed, isError: true });
  } catch (error) {
    notifyError(error);
  }
}

/** @param {Session} session */
export async function downloadJson(session) {
  try {
    const messages = await readAll(session.id);
    const text = JSON.stringify({ session, messages }, null, 2);
    const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const name = (session.name || session.id).replace(/[\\/:*?"<>|\p{Cc}]+/gu, " ").trim().slice(0, 80);
    Object.assign(document.createElement("a"), { href, download: `${name || session.id}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  } catch (error) {
    notifyError(error);
  }
}

/** @param {Session} session @param {number} [seq] */
export async function copyLink(session, seq) {
  const link = new URL(`/s/${session.id}${seq ? `#${seq}` : ""}`, location.href).href;
  if (await copyText(link)) announce(words.copied);
  else notify({ text: words.copyFailed, isError: true });
}
