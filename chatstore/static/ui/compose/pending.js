// The messages of a session that are not stored yet, below those that are.
import { awaySince } from "../api.js";
import { formatTime } from "../dates.js";
import { readDraft, writeDraft } from "./drafts.js";
import { html } from "../html.js";
import { discard, entries } from "./outbox.js";
import { words } from "../words.js";

/** Put the text of a refused message back into the composer, before what is there.
 * @param {import("./outbox.js").Entry} entry */
function edit(entry) {
  const draft = readDraft(entry.sessionId);
  const text = [entry.body.content, draft.text].filter(Boolean).join("\n\n");
  if (!writeDraft(entry.sessionId, text, entry.body.role)) return;
  discard(entry);
  dispatchEvent(new Event("chatstore:draft"));
  document.getElementById("composer")?.focus();
}

/** @param {import("./outbox.js").Entry} entry */
function stateOf(entry) {
  if (entry.isOnlyInMemory) return words.notKept;
  return awaySince.value ? words.waiting : words.sending;
}

/** @param {import("./outbox.js").Entry} entry */
function article(entry) {
  const { refusal, body } = entry;
  return html`<article key=${entry.name} class=${`msg user pending ${refusal ? "is-refused" : "is-waiting"}`}
      aria-label=${refusal ? words.notStored(refusal.reason) : stateOf(entry)}>
    <div class="who"><span class="seq" aria-hidden="true">${refusal ? "!" : "…"}</span><b>${words.roles[body.role] ?? body.role}</b><time>${formatTime(new Date(entry.writtenAt))}</time></div>
      <p class="pending-text" dir="auto">${body.content}</p>
      ${refusal
        ? html`<p class="pending-state" role="alert"><span class="danger">${words.notStored(refusal.reason)}</span>
            <button class="quiet" onClick=${() => edit(entry)}>${words.edit}</button>
            <button class="quiet" onClick=${() => discard(entry)}>${words.discard}</button>
            <span class="pending-id">${words.requestId(refusal.requestId)}</span></p>`
        : html`<p class="pending-state">${stateOf(entry)}</p>`}
  </article>`;
}

/** @param {{ sessionId: string }} props */
export function Pending({ sessionId }) {
  return entries.value.filter((each) => each.sessionId === sessionId).map(article);
}
