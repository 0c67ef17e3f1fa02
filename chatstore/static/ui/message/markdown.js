// Markdown as Preact nodes, made from the tokens of markdown-it by an allow-list.
// No HTML is made, so there is nothing to clean.
import MarkdownIt from "markdown-it";
import { useMemo } from "preact/hooks";
import { CodeBlock } from "./code_block.js";
import { h, html } from "../html.js";
import { isDataPicture, Link, Picture, safeUrl } from "./links.js";
import { PlainText } from "./plain_text.js";
import { words } from "../words.js";

export const MAX_MARKDOWN = 200_000;
// More pieces than this would hold the page up, so the text is shown as it is.
const MAX_TOKENS = 20_000;

const parser = new MarkdownIt({ html: false, linkify: true, breaks: true });
// `safeUrl` makes the addresses, and the text of a link is shown as it is stored.
parser.normalizeLink = parser.normalizeLinkText = (/** @type {string} */ text) => text;
parser.validateLink = (/** @type {string} */ text) => safeUrl(text) !== null || isDataPicture(text);

/** Elements of tokens that come in pairs, `<name>_open` and `<name>_close`. @type {Record<string, string>} */
const PAIRS = {
  paragraph: "p", blockquote: "blockquote", bullet_list: "ul", ordered_list: "ol", list_item: "li",
  table: "table", thead: "thead", tbody: "tbody", tr: "tr", th: "th", td: "td",
  em: "em", strong: "strong", s: "s",
};
const ALIGNED = /text-align:\s*(right|center)/;

/** @param {{ text: string }} props */
export function Markdown({ text }) {
  const nodes = useMemo(() => markdownNodes(text), [text]);
  return nodes ? html`<div class="md">${nodes}</div>` : h(PlainText, { text });
}

/** The nodes of a text, or null if it is better shown as it is. @param {string} text */
export function markdownNodes(text) {
  if (text.length > MAX_MARKDOWN) return null;
  const tokens = parser.parse(text, {});
  const size = tokens.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + 1 + (each.children?.length ?? 0), 0);
  if (size > MAX_TOKENS) return null;
  rankHeadings(tokens);
  return nodesOf(tokens);
}

/** Give each heading its depth below the others: authors skip levels, a page must not.
 * @param {any[]} tokens */
function rankHeadings(tokens) {
  /** @type {string[]} */
  const above = [];
  for (const token of tokens.filter((each) => each.type === "heading_open")) {
    while (above.length && above[above.length - 1] >= token.tag) above.pop();
    token.meta = above.push(token.tag);
  }
}

/** @param {any[]} tokens @returns {any[]} */
function nodesOf(tokens) {
  /** @type {{ token: any, nodes: any[] }[]} */
  const stack = [{ token: null, nodes: [] }];
  for (const token of tokens) {
    if (token.nesting === 1) stack.push({ token, nodes: [] });
    else if (token.nesting === -1 && stack.length > 1) {
      const { token: opening, nodes } = /** @type {any} */ (stack.pop());
      stack[stack.length - 1].nodes.push(paired(opening, nodes));
    } else stack[stack.length - 1].nodes.push(single(token));
  }
  return stack[0].nodes;
}

/** @param {any} token @param {any[]} nodes */
function paired(token, nodes) {
  const kind = token.type.replace(/_open$/, "");
  if (token.hidden) return nodes;
  if (kind === "link") return linked(token, nodes);
  if (kind === "heading") {
    // The page has h1, and the message h2.
    return h(`h${Math.min(6, token.meta + 2)}`, blockProps(token), nodes);
  }
  const name = PAIRS[kind];
  if (!name) return nodes;
  if (name === "table") {
    return html`<div class="table" tabindex="0" role="group" aria-label=${words.table}>
      ${h("table", blockProps(token), nodes)}</div>`;
  }
  const start = name === "ol" ? token.attrGet("start") : null;
  return h(name, { ...blockProps(token), ...(start === null ? {} : { start: Number(start) }) }, nodes);
}

/** Outer blocks choose their direction; the blocks inside follow, see `plaintext` in the CSS.
 * @param {any} token @returns {Record<string, any>} */
function blockProps(token) {
  const aligned = ALIGNED.exec(String(token.attrGet("style") ?? ""));
  if (aligned) return { class: aligned[1] === "right" ? "is-right" : "is-center" };
  return token.level === 0 && token.block ? { dir: "auto" } : {};
}

/** @param {any} token @param {any[]} nodes */
function linked(token, nodes) {
  const url = safeUrl(String(token.attrGet("href") ?? ""));
  return url ? h(Link, { url, text: textOf(nodes), children: nodes }) : nodes;
}

/** @param {any} token */
function single(token) {
  switch (token.type) {
    case "inline":
      return nodesOf(token.children ?? []);
    case "softbreak":
    case "hardbreak":
      return h("br", {});
    case "hr":
      return h("hr", {});
    case "code_inline":
      return html`<code dir="ltr">${token.content}</code>`;
    case "code_block":
    case "fence":
      // A pasted last line end would run a command in a terminal, so it is not part of the code.
      return h(CodeBlock, {
        code: token.content.replace(/\n$/, ""),
        language: token.info?.trim().split(/\s+/)[0] ?? "",
      });
    case "image":
      return h(Picture, { address: String(token.attrGet("src") ?? ""), text: token.content });
    default:
      return token.content;
  }
}

/** The text of nodes, to compare it with a link's address. @param {any} node @returns {string} */
function textOf(node) {
  if (typeof node === "string") return node;
  if (Array.isArray(node)) return node.map(textOf).join("");
  return textOf(node?.props?.children ?? []);
}
