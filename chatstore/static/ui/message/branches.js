// Versions of a message: siblings follow the same message. ‹ 2/3 › shows another one.
import { useEffect, useRef } from "preact/hooks";
import { get, patch } from "../api.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { announce, notifyError } from "../notices.js";
import { words } from "../words.js";

const PAGE = 100;
const MAX_PAGES = 20;
/** The last message that was shown below a version, by session and version. @type {Map<string, number>} */
const heads = new Map();
const MAX_HEADS = 1_000;
let focusedNext = /** @type {{ seq: number, step: number } | null} */ (null);

/** @param {string} sessionId @param {any} message */
export const addressOf = (sessionId, message) => `/sessions/${sessionId}/messages/${message.id}`;

/** The message that this one follows; 0 if it begins the conversation. @param {any} message */
export const parentOf = (message) => message.parent_seq ?? message.seq - 1;

/** Give a version the focus once it is shown. @param {number} seq */
export const focusVersion = (seq) => (focusedNext = { seq, step: 0 });

/** @param {{ message: any, sessionId: string, onChanged: (message?: any) => void }} props */
export function Branches({ message, sessionId, onChanged }) {
  const here = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (focusedNext === null || focusedNext.seq !== message.seq) return;
    const { step } = focusedNext;
    focusedNext = null;
    if (step === 0) return here.current?.closest("article")?.focus({ preventScroll: true });
    const buttons = /** @type {NodeListOf<HTMLButtonElement>} */ (here.current?.querySelectorAll("button"));
    const [wanted, other] = step < 0 ? buttons : [...buttons].reverse();
    (wanted.disabled ? other : wanted).focus();
  });
  const siblings = message.siblings ?? [];
  if (siblings.length < 2) return null;
  const index = siblings.indexOf(message.seq);
  const show = async (/** @type {number} */ step) => {
    const chosen = siblings[index + step];
    try {
      const { head_seq: head } = await get(`/sessions/${sessionId}`);
      remember(sessionId, message.seq, head);
      await patch(`/sessions/${sessionId}`, { head_seq: await headBelow(sessionId, chosen) });
      focusedNext = { seq: chosen, step };
      announce(words.version(index + step + 1, siblings.length));
      onChanged();
    } catch (error) {
      notifyError(error);
    }
  };
  const button = (/** @type {number} */ step, /** @type {string} */ icon, /** @type {string} */ label) =>
    html`<button type="button" aria-label=${label} title=${label} disabled=${!(index + step in siblings)}
      onClick=${() => show(step)}>${h(Icon, { name: icon, size: 14 })}</button>`;
  return html`<span class="branches" role="group" aria-label=${words.versions} ref=${here}>
    ${button(-1, "left", words.previousVersion)}
    <span class="num" aria-label=${words.version(index + 1, siblings.length)} role="img">${index + 1}/${siblings.length}</span>
    ${button(1, "right", words.nextVersion)}
  </span>`;
}

/** @param {string} sessionId @param {number} seq @param {number} head */
function remember(sessionId, seq, head) {
  if (heads.size >= MAX_HEADS) heads.clear();
  heads.set(`${sessionId} ${seq}`, head);
}

/**
 * The last message below `seq`: the one shown before, or else the newest that a look at
 * the next 2,000 messages finds. @param {string} sessionId @param {number} seq
 */
export async function headBelow(sessionId, seq) {
  const known = heads.get(`${sessionId} ${seq}`);
  if (known) return known;
  const below = new Set([seq]);
  let last = seq;
  let head = seq;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const query = { after: last, limit: PAGE, fields: "seq,parent_seq" };
    const { messages, has_more: hasMore } = await get(`/sessions/${sessionId}/messages`, query);
    for (const each of messages) {
      last = each.seq;
      if (!below.has(parentOf(each))) continue;
      below.add(each.seq);
      head = each.seq;
    }
    if (!hasMore) break;
  }
  return head;
}
