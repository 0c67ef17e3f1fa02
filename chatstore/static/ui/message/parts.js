// The body of a message: its text, or its parts in their order.
import { Fold, Some } from "./fold.js";
import { h, html } from "../html.js";
import { asText } from "./json_text.js";
import { Picture } from "./links.js";
import { Markdown } from "./markdown.js";
import { StoredText } from "./tool_calls.js";
import { words } from "../words.js";

const MOST = 50;

/** @param {{ message: any }} props */
export function Parts({ message }) {
  if (!Array.isArray(message.parts)) return message.content ? h(Markdown, { text: message.content }) : null;
  const show = (/** @type {any} */ part) => h(Part, { part });
  return h(Some, { pieces: message.parts, most: MOST, label: words.showPieces, show });
}

/** @param {{ part: any }} props */
function Part({ part }) {
  if (part?.type === "text") return h(Markdown, { text: asText(part.text) });
  if (part?.type === "image_url") {
    const address = asText(part.image_url?.url ?? part.image_url);
    return html`<div class="md"><p>${h(Picture, { address, text: "" })}</p></div>`;
  }
  const text = asText(part);
  return h(Fold, {
    name: words.part(asText(part?.type).slice(0, 100)),
    preview: text,
    children: () => h(StoredText, { text }),
  });
}
