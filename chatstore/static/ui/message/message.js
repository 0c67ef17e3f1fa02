// One message as the transcript shows it.
import { useRef, useState } from "preact/hooks";
import { Branches } from "./branches.js";
import { formatDayTime, formatExact, formatTime } from "../dates.js";
import { Fold } from "./fold.js";
import { classes, h, html } from "../html.js";
import { Icon } from "../icons.js";
import { asText } from "./json_text.js";
import { Lazy } from "../lazy.js";
import { MessageMenu } from "./message_menu.js";
import { Parts } from "./parts.js";
import { sessionPath } from "../router.js";
import { StoredText, ToolCalls } from "./tool_calls.js";
import { words } from "../words.js";

export const loadEditor = () => import("./version_editor.js").then((found) => found.VersionEditor);
const FOLDED = ["system", "developer", "tool"];

/**
 * @param {{ message: any, sessionId?: string | null, isHit?: boolean, onChanged?: (message?: any) => void }} props
 * `onChanged` gets the message if only the message changed, and nothing if the path or
 * the text changed. With null as `sessionId` the message is only read: it has no acts.
 */
export function Message({ message, sessionId = message.session_id, isHit = false, onChanged = () => {} }) {
  const [draft, setDraft] = useState(/** @type {string | null} */ (null));
  const article = useRef(/** @type {HTMLElement | null} */ (null));
  const { seq } = message;
  const role = words.roles[message.role] ?? asText(message.role);
  const kind = words.roles[message.role] ? message.role : "other";
  const address = sessionId ? sessionPath(sessionId, seq) : `#${seq}`;
  // A page may hold a thousand messages, so each has as few elements as it can.
  return html`<article class=${classes("msg", kind, isHit && "hit")} id=${`m${seq}`} data-seq=${seq} tabindex="-1"
    ref=${article} aria-label=${words.messageLabel(role, seq)}>
    ${h(Header, { message, role, address, sessionId, onChanged })}
    ${sessionId && h(MessageMenu, { article, message, sessionId, onChanged, onWrite: setDraft })}
    ${draft === null ? h(Text, { message, isHit }) : h(Lazy, {
      load: loadEditor, props: { message, sessionId, text: draft, onChanged, onClose: () => setDraft(null) },
    })}
  </article>`;
}

/** @param {{ message: any, role: string, address: string, sessionId: string | null, onChanged: (message?: any) => void }} props */
function Header({ message, role, address, sessionId, onChanged }) {
  const instant = message.created_at ?? message.timestamp;
  const rating = message.feedback?.rating;
  const isNamed = message.name && message.role !== "tool";
  return html`<header class="who">
    <a class="seq" href=${address} aria-label=${words.linkTo(message.seq)}>${message.seq}</a>
    <h2>${role}</h2>${isNamed && html`<bdi class="who-name">${asText(message.name)}</bdi>`}
    <time datetime=${instant} title=${formatExact(instant)}>${formatTime(instant)}</time>
    ${message.edited_at && html`<span title=${formatExact(message.edited_at)}>${words.edited}</span>`}
    ${rating && html`<span class="rating" role="img" aria-label=${words.rated(rating)}>
      ${h(Icon, { name: rating > 0 ? "thumbUp" : "thumbDown", size: 14 })}</span>`}
    ${sessionId && h(Branches, { message, sessionId, onChanged })}
  </header>`;
}

/** @param {{ message: any, isHit: boolean }} props */
function Text({ message, isHit }) {
  if (message.deleted_at) return html`<p class="gone">${words.messageDeleted(formatDayTime(message.deleted_at))}</p>`;
  if (FOLDED.includes(message.role)) {
    const name = asText(message.name ?? message.tool_call_id) || message.role;
    return h(Fold, { name, preview: message.content, isOpenAtFirst: isHit, children: () => h(Inside, { message }) });
  }
  return h(Inside, { message });
}

/** @param {{ message: any }} props */
function Inside({ message }) {
  const hasCalls = message.tool_calls?.length || message.function_call;
  const isEmpty = !message.content && !message.parts?.length && !hasCalls && !message.refusal;
  const isStored = message.role === "tool" && !message.parts;
  return html`
    ${isEmpty && html`<p class="gone">${words.emptyMessage}</p>`}
    ${isStored && message.content ? h(StoredText, { text: message.content }) : h(Parts, { message })}
    ${message.refusal && html`<div class="md"><p dir="auto"><b>${words.refusal}:</b> ${asText(message.refusal)}</p></div>`}
    ${h(ToolCalls, { message })}`;
}
