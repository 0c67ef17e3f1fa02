// What is known about the open session: its questions, facts, tags, and ways to take it along.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api.js";
import { daysAgo, formatDayTime, formatExact, formatNumber, formatTime } from "../dates.js";
import { classes, h, html } from "../html.js";
import { Icon } from "../icons.js";
import { addKeys } from "../keys.js";
import { askTags } from "../list/list_dialogs.js";
import { sessionPath } from "../router.js";
import { tagSession } from "../list/session_acts.js";
import { copyAsMarkdown, downloadJson } from "./take_along.js";
import { words } from "../words.js";

// So many questions are read at a time.
const QUESTIONS = 100;

/** @typedef {{ seq: number, preview: string }} Question */

/**
 * @param {object} props
 * @param {import("./open_session.js").OpenSession} props.open
 * @param {import("./open_session.js").Session} props.session
 * @param {import("@preact/signals").Signal<number | null>} props.here the message that is read
 * @param {() => void} props.onPrint
 * @param {() => void} props.onClose
 * @param {boolean} props.isSheet lies over the transcript, as narrow windows show it
 */
export function Details({ open, session, here, onPrint, onClose, isSheet }) {
  const sheet = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!isSheet) return;
    sheet.current?.focus();
    return addKeys([{ key: "Escape", meaning: "", run: onClose }]);
  }, [isSheet]);
  return html`<aside class="details" id="details" ref=${sheet} aria-label=${words.transcript.details} tabindex="-1">
    ${isSheet && html`<button class="icon-button close-details" aria-label=${words.close} onClick=${onClose}>${h(Icon, { name: "close" })}</button>`}
    ${h(Outline, { open, here })}
    <h2>${words.transcript.session}</h2>
    <dl>${factsOf(session).map(([name, value, title]) => html`<div key=${name}><dt>${name}</dt><dd title=${title}>${value}</dd></div>`)}</dl>
    <h2>${words.transcript.tags}</h2>
    <div class="tags">
      ${session.metadata_tags.map((each) => html`<a class="tag" key=${each} href=${`/?tag=${encodeURIComponent(each)}`} dir="auto">${each}</a>`)}
      <button class="tag add-tag" onClick=${() => changeTags(session)}>${words.transcript.addTag}</button>
    </div>
    <h2>${words.transcript.takeAlong}</h2>
    <p class="take-along">
      <button class="link" onClick=${() => copyAsMarkdown(session)}>${words.transcript.copyMarkdown}</button>
      <button class="link" onClick=${() => downloadJson(session)}>${words.transcript.downloadJson}</button>
      <button class="link" onClick=${onPrint}>${words.transcript.print}</button>
    </p>
  </aside>`;
}

/** Ask for tags, then change them. @param {import("./open_session.js").Session} session */
export async function changeTags(session) {
  const answer = await askTags(session.metadata_tags);
  if (answer) await tagSession(session, answer);
}

/** @param {Record<string, any>} session @returns {[string, any, string?][]} */
function factsOf(session) {
  const { facts } = words.transcript;
  const tokens = session.input_tokens + session.output_tokens;
  const documents = session.rag_document_ids.length;
  const at = (/** @type {string} */ instant) => (daysAgo(instant) === 0 ? formatTime(instant) : formatDayTime(instant));
  /** @type {[string, any, string?][]} */
  const found = [
    [facts.model, session.llm_model_name, session.llm_model_name],
    [facts.messages, formatNumber(session.message_count)],
    [facts.created, at(session.created_at), formatExact(session.created_at)],
    [facts.lastMessage, session.message_count ? at(session.last_updated_at) : facts.none, formatExact(session.last_updated_at)],
    [facts.documents, documents ? formatNumber(documents) : facts.none, session.rag_document_ids.join("\n")],
  ];
  if (tokens) found.push([facts.tokens, formatNumber(tokens), facts.tokensOf(session.input_tokens, session.output_tokens)]);
  if (session.expires_at) found.push([facts.expires, formatDayTime(session.expires_at), formatExact(session.expires_at)]);
  if (session.external_id) found.push([facts.externalId, session.external_id, session.external_id]);
  if (session.forked_from) {
    const { session_id: id, seq } = session.forked_from;
    found.push([facts.forkedFrom, html`<a href=${sessionPath(id, seq)}>${facts.messageOf(seq)}</a>`]);
  }
  return found;
}

/** @param {{ open: import("./open_session.js").OpenSession, here: import("@preact/signals").Signal<number | null> }} props */
function Outline({ open, here }) {
  const [questions, setQuestions] = useState(/** @type {Question[]} */ ([]));
  const [hasMore, setHasMore] = useState(false);
  const head = open.chunks.path.headSeq;
  open.chunks.version.value;
  /** @param {number | null} before @param {AbortSignal} ended */
  const read = async (before, ended) => {
    const query = { path: head, role: "user", fields: "seq,timestamp,preview", order: "desc", limit: QUESTIONS, before };
    const page = await get(`/sessions/${open.id}/messages`, query, { signal: ended }).catch(() => null);
    if (!page) return;
    const older = page.messages.reverse();
    setQuestions((shown) => (before ? [...older, ...shown] : older));
    setHasMore(page.has_more);
  };
  useEffect(() => {
    if (head === null) return setQuestions([]);
    const ended = new AbortController();
    read(null, AbortSignal.any([ended.signal, open.signal]));
    return () => ended.abort();
  }, [open, head]);
  if (!questions.length) return null;
  const now = questions.findLast((each) => each.seq <= (here.value ?? 0))?.seq;
  return html`<h2>${words.transcript.questions}</h2>
    ${hasMore && html`<button class="quiet" onClick=${() => read(questions[0].seq, open.signal)}>${words.transcript.earlier}</button>`}
    <ol class="outline">${questions.map(({ seq, preview }) => html`<li key=${seq} class=${classes(seq === now && "is-here")}>
      <a href=${sessionPath(open.id, seq)} data-seq=${seq} aria-current=${seq === now ? "location" : undefined}><span class="question" dir="auto">${preview || "…"}</span></a></li>`)}</ol>`;
}
