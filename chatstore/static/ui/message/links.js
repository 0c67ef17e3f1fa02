// Links and pictures of a message. Both open in a new tab; nothing foreign loads here.
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { words } from "../words.js";

const PROTOCOLS = ["http:", "https:", "mailto:"];
const DATA_PICTURE = /^data:image\/(png|gif|jpeg|webp);/i;

/** The address if it is one that we link to, or null. @param {string} text @returns {URL | null} */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return PROTOCOLS.includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** @param {string} text */
export const isDataPicture = (text) => DATA_PICTURE.test(text);

/** @param {URL} url */
const hostOf = (url) => url.host || url.pathname.slice(0, 100);

/** A link. Its host stands beside it, unless its text already begins with that host.
 * @param {{ url: URL, text: string, children: any }} props */
export function Link({ url, text, children }) {
  const start = url.host ? `${url.protocol}//${url.host}` : url.pathname;
  const isClear = text.startsWith(start) && /^([/?#]|$)/.test(text.slice(start.length));
  return html`<a href=${url.href} target="_blank" rel="noopener noreferrer">${children}${
    !isClear && html`${" "}<small dir="ltr">${hostOf(url)}</small>`
  }</a>`;
}

/** A picture that is not loaded: a button that opens it in a new tab.
 * @param {{ address: string, text: string }} props */
export function Picture({ address, text }) {
  const url = safeUrl(address);
  const name = text.slice(0, 200);
  if (!url || !url.host) {
    const kind = isDataPicture(address) ? /** @type {string} */ (address.slice(5).split(";")[0]) : "";
    return html`<span class="picture">${h(Icon, { name: "info" })}<span>${words.pictureInside(name, kind)}</span></span>`;
  }
  return html`<a class="picture" href=${url.href} target="_blank" rel="noopener noreferrer">
    ${h(Icon, { name: "info" })}<span>${words.pictureFrom(name)} <b dir="ltr">${url.host}</b>${words.notLoaded}</span>
    <b class="picture-open">${words.open} ↗</b>
  </a>`;
}
