// The bar above a session: its name, its tags, and what can be done with it.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { isComposing } from "../keys.js";
import { late } from "../lazy.js";
import { words } from "../words.js";

/** @typedef {import("./open_session.js").Session} Session */

const acts = () => import("../list/session_acts.js");
const takeAlong = () => import("./take_along.js");
const archiveSession = late(() => acts().then((found) => found.archiveSession));
const deleteSession = late(() => acts().then((found) => found.deleteSession));
const pinSession = late(() => acts().then((found) => found.pinSession));
const renameSession = late(() => acts().then((found) => found.renameSession));
const changeTags = late(() => import("./details.js").then((found) => found.changeTags));
const copyAsMarkdown = late(() => takeAlong().then((found) => found.copyAsMarkdown));
const copyLink = late(() => takeAlong().then((found) => found.copyLink));
const downloadJson = late(() => takeAlong().then((found) => found.downloadJson));

/**
 * @param {object} props
 * @param {Session} props.session
 * @param {boolean} props.isRenaming
 * @param {(isRenaming: boolean) => void} props.setRenaming
 * @param {boolean} props.isFinding
 * @param {() => void} props.onFind
 * @param {boolean} props.hasDetails
 * @param {() => void} props.onDetails
 * @param {() => void} props.onPrint
 */
export function SessionBar({ session, isRenaming, setRenaming, isFinding, onFind, hasDetails, onDetails, onPrint }) {
  const t = words.transcript;
  return html`<header class="session-bar">
    <a class="icon-button back" href="/" aria-label=${t.back}>${h(Icon, { name: "left", size: 20 })}</a>
    <div class="session-title">
      ${isRenaming ? html`<h1 class="visually-hidden">${session.name || words.untitled}</h1>${h(NameField, { session, onEnd: () => setRenaming(false) })}` : html`<h1 dir="auto">
        <button class="session-name" id="session-name" title=${t.rename} onClick=${() => setRenaming(true)}>${session.name || words.untitled}</button></h1>`}
      <small>${words.messages(session.message_count)} · ${session.llm_model_name}</small>
    </div>
    <span class="session-tags">${session.metadata_tags.slice(0, 4).map((each) => html`<span class="tag" key=${each} dir="auto">${each}</span>`)}</span>
    <div class="session-acts">
      <button class="icon-button" aria-label=${t.find} title=${t.find} aria-pressed=${isFinding} onClick=${onFind}>${h(Icon, { name: "search" })}</button>
      <button class="icon-button wide-only" aria-label=${session.pinned ? t.unpin : t.pin} title=${session.pinned ? t.unpin : t.pin} aria-pressed=${session.pinned}
        onClick=${() => pinSession(session)}>${h(Icon, { name: "pin" })}</button>
      <button class="icon-button wide-only" aria-label=${session.archived ? t.unarchive : t.archive} title=${session.archived ? t.unarchive : t.archive}
        aria-pressed=${session.archived} onClick=${() => archiveSession(session)}>${h(Icon, { name: "archive" })}</button>
      ${h(SessionMenu, { session, acts: [
        { icon: "edit", text: t.rename, run: () => setRenaming(true) },
        { icon: "pin", text: session.pinned ? t.unpin : t.pin, run: () => pinSession(session), isNarrow: true },
        { icon: "archive", text: session.archived ? t.unarchive : t.archive, run: () => archiveSession(session), isNarrow: true },
        { icon: "tag", text: t.changeTags, run: () => changeTags(session) },
        { icon: "panel", text: t.details, run: onDetails, isNarrow: true },
        { icon: "link", text: t.copyLink, run: () => copyLink(session) },
        { icon: "copy", text: t.copyMarkdown, run: () => copyAsMarkdown(session) },
        { icon: "arrowDown", text: t.downloadJson, run: () => downloadJson(session) },
        { icon: "right", text: t.print, run: onPrint },
        { icon: "trash", text: t.delete, run: () => deleteSession(session), isDanger: true },
      ] })}
      <button class="icon-button wide-only" id="details-toggle" aria-label=${t.details} title=${`${t.details} (i)`} aria-expanded=${hasDetails}
        onClick=${onDetails}>${h(Icon, { name: "panel" })}</button>
    </div>
  </header>`;
}

/** @param {{ session: Session, onEnd: () => void }} props */
function NameField({ session, onEnd }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const hasEnded = useRef(false);
  // The name may change elsewhere meanwhile: the one that the reader saw counts.
  const seen = useRef(session);
  useLayoutEffect(() => field.current?.select(), []);
  /** @param {boolean} isKept */
  const end = (isKept) => {
    if (hasEnded.current) return;
    hasEnded.current = true;
    const name = field.current?.value.trim() || null;
    onEnd();
    if (isKept && name !== seen.current.name) renameSession(seen.current, name);
  };
  /** @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    if (isComposing(event) || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter");
    // The button with the name is there after the next rendering.
    queueMicrotask(() => document.getElementById("session-name")?.focus());
  };
  return html`<input class="field" ref=${field} dir="auto" maxlength="255" aria-label=${words.transcript.name} defaultValue=${session.name ?? ""}
    onKeyDown=${onKeyDown} onBlur=${() => end(true)} />`;
}

/** @typedef {{ icon: string, text: string, run: () => any, isDanger?: boolean, isNarrow?: boolean }} Act */

/** @param {{ session: Session, acts: Act[] }} props */
function SessionMenu({ acts }) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const menu = useRef(/** @type {HTMLElement | null} */ (null));
  const close = () => {
    setOpen(false);
    button.current?.focus();
  };
  useLayoutEffect(() => {
    if (!isOpen) return;
    menu.current?.querySelector("button")?.focus();
    const onPress = (/** @type {Event} */ event) => {
      const { target } = event;
      if (target instanceof Node && !menu.current?.contains(target) && !button.current?.contains(target)) setOpen(false);
    };
    document.addEventListener("pointerdown", onPress);
    return () => document.removeEventListener("pointerdown", onPress);
  }, [isOpen]);
  /** @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    const items = [...(menu.current?.querySelectorAll("button") ?? [])].filter((each) => each.offsetParent);
    const at = items.indexOf(/** @type {any} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Tab") return setOpen(false);
    if (event.key === "Escape") close();
    else if (to !== undefined) items[to % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="session-menu">
    <button class="icon-button" ref=${button} aria-label=${words.transcript.more} title=${words.transcript.more} aria-haspopup="menu" aria-expanded=${isOpen}
      onClick=${() => setOpen(!isOpen)}>${h(Icon, { name: "more" })}</button>
    ${isOpen && html`<div class="menu" role="menu" ref=${menu} onKeyDown=${onKeyDown}>
      ${acts.map(({ icon, text, run, isDanger, isNarrow }) => html`<button key=${text} role="menuitem" tabindex="-1"
        class=${`${isDanger ? "danger" : ""} ${isNarrow ? "narrow-only" : ""}`} onClick=${() => (close(), run())}>
        ${h(Icon, { name: icon })}${text}</button>`)}
    </div>`}
  </div>`;
}
