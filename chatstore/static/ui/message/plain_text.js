// Text as it is, for what is too long or too tangled for Markdown.
import { useState } from "preact/hooks";
import { html } from "../html.js";
import { words } from "../words.js";

const SHOWN = 20_000;

/** @param {{ text: string }} props */
export function PlainText({ text }) {
  const [isWhole, setWhole] = useState(false);
  const isCut = text.length > SHOWN && !isWhole;
  return html`<div class="md">
    <p class="plain" dir="auto">${isCut ? beginning(text) : text}</p>
    ${isCut && html`<button type="button" class="quiet" onClick=${() => setWhole(true)}>
      ${words.showAll(text.length)}</button>`}
  </div>`;
}

/** The first characters, without half a surrogate pair. @param {string} text */
function beginning(text) {
  const code = text.charCodeAt(SHOWN - 1);
  return text.slice(0, code >= 0xd800 && code <= 0xdbff ? SHOWN - 1 : SHOWN);
}
