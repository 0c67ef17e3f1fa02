// The main pane without a session: an empty store, or how to choose a session.
import { html } from "../html.js";
import { scope } from "./list_address.js";
import { isEmptyStore } from "./empty_store.js";
import { total } from "./session_list.js";
import { words } from "../words.js";

export function StartView() {
  if (scope.value === "trash") return hint(words.trashTitle, html`<p>${words.trashMeans}</p>`);
  if (scope.value === "archived") return hint(words.archiveTitle, html`<p>${words.archiveMeans}</p>`);
  if (total.value === null) return html`<h1 class="visually-hidden">${words.list}</h1>`;
  if (isEmptyStore.value) return hint(words.nothingHere, nothing());
  return hint(words.choose, html`<p>${words.chooseHow}<kbd>j</kbd> <kbd>k</kbd>${words.chooseOpen}<kbd>Enter</kbd>${words.chooseFind}<kbd>Ctrl K</kbd>.</p>`);
}

/** @param {string} title @param {any} text */
const hint = (title, text) => html`<div class="start"><div class="start-text"><h1>${title}</h1>${text}</div></div>`;

const nothing = () => html`<p>${words.nothingBegin}<b>${words.newSession}</b> <kbd class="for-keys">c</kbd>${words.nothingSend}</p>
  <pre tabindex="0">${`curl -X POST ${location.origin}/api/v1/sessions/ \\\n     -H 'Content-Type: application/json' \\\n     -d '{"name": "First one"}'`}</pre>
  <p>${words.nothingDemo}<code>chatstore demo</code>${words.nothingDemoMeans}</p>`;
