// Questions of the list: which tags, and whether to delete more than one session.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "../api.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { isComposing } from "../keys.js";
import { words } from "../words.js";

/** @typedef {{ add: string[], remove: string[] }} TagAnswer */
/** @typedef {{ kind: "tags", tags: string[] | null, answer: (given: TagAnswer | null) => void }} TagQuestion */
/** @typedef {{ kind: "delete", count: number, isForGood: boolean, answer: (given: boolean | null) => void }} DeleteQuestion */

const question = signal(/** @type {TagQuestion | DeleteQuestion | null} */ (null));

/** Ask for tags to add and remove. @param {string[] | null} tags of the session, null for many
 * @returns {Promise<TagAnswer | null>} */
export const askTags = (tags) => new Promise((answer) => (question.value = { kind: "tags", tags, answer }));

/** @param {number} count @param {boolean} isForGood @returns {Promise<boolean | null>} */
export const askDelete = (count, isForGood) =>
  new Promise((answer) => (question.value = { kind: "delete", count, isForGood, answer }));

/** @param {any} given */
function close(given) {
  const asked = question.value;
  question.value = null;
  asked?.answer(given);
}

/** The dialog of the question that is open. Closing it gives the focus back to where it was. */
export function ListDialog() {
  const asked = question.value;
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  // At once, so that a key pressed right after reaches the dialog.
  useLayoutEffect(() => {
    if (!asked) return;
    const opener = /** @type {HTMLElement | null} */ (document.activeElement);
    dialog.current?.showModal();
    return () => opener?.isConnected && opener.focus();
  }, [asked]);
  if (!asked) return null;
  return html`<dialog class="ask" ref=${dialog} aria-labelledby="ask-title" onClose=${() => close(null)}>
    ${asked.kind === "tags" ? h(TagForm, { tags: asked.tags }) : h(DeleteForm, asked)}
  </dialog>`;
}

/** @param {{ count: number, isForGood: boolean }} props */
function DeleteForm({ count, isForGood }) {
  return html`<form onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), close(true))}>
    <h2 id="ask-title">${isForGood ? words.askPurge(count) : words.askDelete(count)}</h2>
    <p>${isForGood ? words.purgeMeans : words.deleteMeans}</p>
    <div class="ask-foot">
      <button type="button" class="quiet" autofocus onClick=${() => close(null)}>${words.cancel}</button>
      <button class="primary is-danger">${isForGood ? words.purge : words.delete}</button>
    </div>
  </form>`;
}

/** @param {{ tags: string[] | null }} props */
function TagForm({ tags }) {
  const [kept, setKept] = useState(tags ?? []);
  const [text, setText] = useState("");
  const [known, setKnown] = useState(/** @type {string[]} */ ([]));
  useEffect(() => {
    get("/tags", { limit: 100 }).then(
      (answer) => setKnown(answer.tags.map((/** @type {any} */ each) => each.tag)),
      () => {},
    );
  }, []);
  const withText = () => (text.trim() && !kept.includes(text.trim()) ? [...kept, text.trim()] : kept);
  const add = () => (setKept(withText()), setText(""));
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const wanted = withText();
    const before = tags ?? [];
    close({ add: wanted.filter((each) => !before.includes(each)), remove: before.filter((each) => !wanted.includes(each)) });
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter") return;
    // An Enter that ends a composition neither adds nor submits.
    if (isComposing(event)) event.preventDefault();
    else if (text.trim()) event.preventDefault(), add();
  };
  return html`<form onSubmit=${submit}>
    <h2 id="ask-title">${tags ? words.tags : words.addTag}</h2>
    <div class="ask-tags">
      ${kept.map((tag) => html`<button key=${tag} type="button" class="tag" title=${words.removeTag(tag)} aria-label=${words.removeTag(tag)}
        onClick=${() => setKept(kept.filter((each) => each !== tag))}>${tag}${h(Icon, { name: "close", size: 12 })}</button>`)}
    </div>
    <input class="field" list="known-tags" autofocus maxlength="100" aria-label=${words.newTag} placeholder=${words.newTag}
      value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} onKeyDown=${onKeyDown} />
    <datalist id="known-tags">${known.map((tag) => html`<option key=${tag} value=${tag}></option>`)}</datalist>
    <div class="ask-foot">
      <button type="button" class="quiet" onClick=${() => close(null)}>${words.cancel}</button>
      <button class="primary">${words.save}</button>
    </div>
  </form>`;
}
