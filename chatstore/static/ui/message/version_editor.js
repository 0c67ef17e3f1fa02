// Writes another version of a message: a sibling, so nothing that was said is lost.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { post, uuid4 } from "../api.js";
import { focusVersion, parentOf } from "./branches.js";
import { html } from "../html.js";
import { isComposing } from "../keys.js";
import { words } from "../words.js";

/**
 * @param {{ message: any, sessionId: string, text: string, onChanged: (message?: any) => void, onClose: () => void }} props
 * `text` is what the field holds at first.
 */
export function VersionEditor({ message, sessionId, text, onChanged, onClose }) {
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const [value, setValue] = useState(text);
  const [problem, setProblem] = useState("");
  const [isSending, setSending] = useState(false);
  // The same text twice is one message, also if the answer to the first try was lost.
  const tried = useRef({ value: "", key: "" });
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  /** The message gets the focus before the field goes. */
  const leave = () => {
    /** @type {HTMLElement | null | undefined} */ (field.current?.closest("article"))?.focus({ preventScroll: true });
    onClose();
  };
  const add = async () => {
    if (isSending || !value) return;
    if (tried.current.value !== value) tried.current = { value, key: uuid4() };
    setSending(true);
    try {
      const body = { role: message.role, content: value, parent_seq: parentOf(message) };
      const added = await post(`/sessions/${sessionId}/messages`, body, { key: tried.current.key });
      focusVersion(added.seq);
      leave();
      onChanged();
    } catch (error) {
      setProblem(words.failed(error));
      setSending(false);
    }
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (isComposing(event)) return;
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) add();
    else return;
    event.preventDefault();
  };
  return html`<div class="version-editor">
    <textarea ref=${field} dir="auto" aria-label=${words.versionText} rows=${Math.min(12, value.split("\n").length + 1)}
      value=${value} onInput=${(/** @type {any} */ event) => setValue(event.target.value)} onKeyDown=${onKeyDown}></textarea>
    ${problem && html`<p class="danger" role="alert">${problem}</p>`}
    <div class="version-acts">
      <button type="button" class="quiet" onClick=${leave}>${words.cancel}</button>
      <button type="button" class="primary" disabled=${isSending || !value} onClick=${add}>${words.addVersion}</button>
    </div>
  </div>`;
}
