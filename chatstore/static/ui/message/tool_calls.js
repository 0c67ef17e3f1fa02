// The calls that a message asks for, each folded to a line.
import { CodeBlock } from "./code_block.js";
import { Fold, Some } from "./fold.js";
import { h, html } from "../html.js";
import { asText, indentJson, isJson } from "./json_text.js";
import { words } from "../words.js";

const MOST = 20;

/** @param {{ message: any }} props */
export function ToolCalls({ message }) {
  const calls = [message.tool_calls ?? [], message.function_call ?? []].flat();
  if (!calls.length) return null;
  const show = (/** @type {any} */ call) => {
    const { name, input } = partsOf(call);
    return h(Fold, { name: words.toolCall(name), preview: input, children: () => h(StoredText, { text: input }) });
  };
  return html`<div class="calls">${h(Some, { pieces: calls, most: MOST, label: words.showPieces, show })}</div>`;
}

/** Name and input of a call of any kind. @param {any} call */
function partsOf(call) {
  const inner = call?.function ?? call?.custom ?? call;
  return {
    name: asText(inner?.name ?? call?.type).slice(0, 255),
    input: asText(inner?.arguments ?? inner?.input ?? call),
  };
}

/** Text that programs exchange: JSON is indented, and Copy copies what is stored.
 * @param {{ text: string }} props */
export function StoredText({ text }) {
  return h(CodeBlock, { code: indentJson(text), source: text, language: isJson(text) ? "json" : "" });
}
