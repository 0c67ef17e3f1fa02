// The field at the foot of a session: writes a message, keeps it as a draft, adds it.
import { useEffect, useRef, useState } from "preact/hooks";
import { readDraft, writeDraft } from "./drafts.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { isComposing } from "../keys.js";
import { addMessage } from "./outbox.js";
import { onStored, readStored } from "../storage.js";
import { words } from "../words.js";

/** Whether the keyboard is on the screen: there Enter breaks the line. */
const isTouch = () => matchMedia("(pointer: coarse)").matches;

/** Whether this key press adds the message. @param {KeyboardEvent} event */
function adds(event) {
  if (event.key !== "Enter" || isComposing(event) || event.shiftKey || event.altKey) return false;
  const hasControl = event.ctrlKey || event.metaKey;
  return hasControl || (readStored("enter", "adds") === "adds" && !isTouch());
}

/** What Enter does not do here. */
function KeyHint() {
  if (isTouch()) return null;
  return readStored("enter", "adds") === "adds"
    ? html`<kbd>Shift ↵</kbd> ${words.newLine}`
    : html`<kbd>Ctrl ↵</kbd> ${words.addsIt}`;
}

/** Put the cursor into the composer, unless that would open a keyboard on the screen. */
export function focusComposer() {
  if (!isTouch()) document.getElementById("composer")?.focus();
}

/** Give the field the height of its text, up to the limit of the style sheet.
 * @param {HTMLTextAreaElement} field */
function fit(field) {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

/**
 * @param {object} props
 * @param {string} props.sessionId
 * @param {any} props.session null while it is read
 */
export function Composer({ sessionId, session }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const [draft, setDraft] = useState(() => readDraft(sessionId));
  const [isKept, setKept] = useState(true);

  useEffect(() => {
    if (field.current) fit(field.current);
  }, [draft.text]);
  useEffect(() => {
    // The same session may be written in another tab, or a refused message be edited.
    const take = () => setDraft(readDraft(sessionId));
    addEventListener("chatstore:draft", take);
    const end = onStored(`draft:${sessionId}`, () => document.hidden && take());
    return () => (removeEventListener("chatstore:draft", take), end());
  }, [sessionId]);

  /** @param {string} text @param {string} role */
  const change = (text, role) => {
    setDraft({ text, role, at: Date.now() });
    setKept(writeDraft(sessionId, text, role));
  };
  const add = () => {
    const text = field.current?.value ?? "";
    if (!text.trim()) return;
    addMessage(sessionId, { role: draft.role, content: text }, session?.last_seq ?? session?.message_count ?? 0);
    change("", "user");
  };

  return html`<form class="composer" onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), add())}>
    <div class="composer-box">
      <textarea id="composer" ref=${field} dir="auto" rows="2" placeholder=${words.addMessage}
        aria-label=${words.addMessage} value=${draft.text}
        onInput=${(/** @type {any} */ event) => change(event.currentTarget.value, draft.role)}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => adds(event) && (event.preventDefault(), add())}></textarea>
      <div class="composer-bar">
        <label class="composer-role"><span aria-hidden="true">${words.as}</span>
          <select aria-label=${words.roleOf} value=${draft.role}
            onChange=${(/** @type {any} */ event) => change(draft.text, event.currentTarget.value)}>
            ${Object.entries(words.roles).map(([role, word]) => html`<option value=${role}>${word}</option>`)}
          </select></label>
        ${isKept || !draft.text
          ? html`<span class="composer-hint">${draft.text && words.draftKept + " · "}${h(KeyHint, {})}</span>`
          : html`<span class="danger" role="alert">${words.draftNotKept}</span>`}
        <button class="primary" disabled=${!draft.text.trim()}>${words.add} ${h(Icon, { name: "enter", size: 14 })}</button>
      </div>
    </div>
  </form>`;
}
