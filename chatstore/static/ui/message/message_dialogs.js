// What a message says about itself on demand: details, earlier texts, and one question.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { del, get, send } from "../api.js";
import { addressOf, parentOf } from "./branches.js";
import { CodeBlock } from "./code_block.js";
import { formatExact, formatNumber } from "../dates.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { asText, indentJson } from "./json_text.js";
import { announce } from "../notices.js";
import { PlainText } from "./plain_text.js";
import { words } from "../words.js";

const REVISIONS = 10;

/** A dialog in front of the page; the browser gives the focus back when it closes.
 * @param {{ title: string, className?: string, onClose: () => void, children: any }} props */
function MessageDialog({ title, className = "", onClose, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => {
    dialog.current?.showModal();
  }, []);
  const close = () => dialog.current?.close();
  return html`<dialog ref=${dialog} class=${`message-dialog ${className}`} aria-label=${title} onClose=${onClose}
    onClick=${(/** @type {Event} */ event) => event.target === dialog.current && close()}>
    <div class="message-dialog-body">
      <header><h2>${title}</h2><button type="button" class="icon-button" aria-label=${words.close} title=${words.close}
        onClick=${close}>${h(Icon, { name: "close" })}</button></header>
      ${typeof children === "function" ? children(close) : children}
    </div>
  </dialog>`;
}

/** Facts, metadata and the stored JSON. @param {{ message: any, sessionId: string, onClose: () => void }} props */
export function DetailsDialog({ message, sessionId, onClose }) {
  const [raw, setRaw] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => {
    send("GET", addressOf(sessionId, message)).then(({ text }) => setRaw(text), (error) => setProblem(words.failed(error)));
  }, []);
  return h(MessageDialog, { title: words.detailsOf(message.seq), onClose, children: html`
    <dl>${factsOf(message).map(([name, value]) => html`<dt>${name}</dt><dd dir="auto">${value}</dd>`)}</dl>
    ${message.metadata && html`<h3>${words.metadata}</h3>
      ${h(CodeBlock, { code: indentJson(asText(message.metadata)), language: "json" })}`}
    <h3>${words.raw}</h3>
    ${problem ? html`<p class="danger" role="alert">${problem}</p>`
      : raw ? h(CodeBlock, { code: indentJson(raw), source: raw.trim(), language: "json" }) : html`<p>${words.loading}</p>`}` });
}

/** @param {any} message @returns {[string, string][]} */
function factsOf(message) {
  const { facts } = words;
  const usage = message.usage ?? {};
  const number = (/** @type {any} */ value) => (typeof value === "number" ? formatNumber(value) : asText(value));
  /** @type {[string, any][]} */
  const all = [
    [facts.role, message.role],
    [facts.name, message.name],
    [facts.model, message.model],
    [facts.input, number(usage.input_tokens)],
    [facts.cached, number(usage.cached_tokens)],
    [facts.output, number(usage.output_tokens)],
    [facts.reasoning, number(usage.reasoning_tokens)],
    [facts.reason, message.finish_reason],
    [facts.answers, message.tool_call_id],
    [facts.written, message.created_at && formatExact(message.created_at)],
    [facts.sent, formatExact(message.timestamp)],
    [facts.edited, message.edited_at && formatExact(message.edited_at)],
    [facts.revision, message.revision && formatNumber(message.revision)],
    [facts.follows, parentOf(message) ? formatNumber(parentOf(message)) : ""],
    [facts.comment, message.feedback?.comment],
    [facts.labels, (message.feedback?.labels ?? []).join(", ")],
  ];
  return all.filter(([, value]) => value).map(([name, value]) => [name, asText(value)]);
}

/** What the message said before its edits. @param {{ message: any, sessionId: string, onClose: () => void }} props */
export function RevisionsDialog({ message, sessionId, onClose }) {
  const [found, setFound] = useState(/** @type {{ revisions: any[], has_more: boolean } | null} */ (null));
  const [problem, setProblem] = useState("");
  const load = async () => {
    const known = found?.revisions ?? [];
    try {
      const page = await get(`${addressOf(sessionId, message)}/revisions`, { limit: REVISIONS, before: known.at(-1)?.revision });
      setFound({ ...page, revisions: [...known, ...page.revisions] });
    } catch (error) {
      setProblem(words.failed(error));
    }
  };
  useEffect(() => void load(), []);
  return h(MessageDialog, { title: words.revisionsOf(message.seq), onClose, children: html`
    ${!found && !problem && html`<p>${words.loading}</p>`}
    ${found?.revisions.map((each) => html`<section key=${each.revision}>
      <h3>${words.revision(each.revision, formatExact(each.written_at))}</h3>
      ${h(PlainText, { text: asText(each.content) })}
    </section>`)}
    ${problem && html`<p class="danger" role="alert">${problem}</p>`}
    ${found?.has_more && html`<button type="button" class="quiet" onClick=${load}>${words.older}</button>`}` });
}

/** Asks before the text is gone. @param {{ message: any, sessionId: string, onChanged: (message?: any) => void, onClose: () => void }} props */
export function DeleteDialog({ message, sessionId, onChanged, onClose }) {
  const [problem, setProblem] = useState("");
  const run = async (/** @type {() => void} */ close) => {
    try {
      await del(addressOf(sessionId, message));
      close();
      announce(words.deletedNow);
      onChanged();
    } catch (error) {
      setProblem(words.failed(error));
    }
  };
  return h(MessageDialog, { title: words.deleteQuestion(message.seq), className: "is-question", onClose, children: (/** @type {() => void} */ close) => html`
    <p>${words.deleteMeaning}</p>
    ${problem && html`<p class="danger" role="alert">${problem}</p>`}
    <div class="version-acts">
      <button type="button" class="quiet" autofocus onClick=${close}>${words.cancel}</button>
      <button type="button" class="primary is-danger" onClick=${() => run(close)}>${words.deleteNow}</button>
    </div>` });
}
