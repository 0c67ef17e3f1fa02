// What can be done with one message: copy, link, and a menu with the rest.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { post, send } from "../api.js";
import { addressOf } from "./branches.js";
import { CopyButton } from "./copy_button.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { Lazy } from "../lazy.js";
import { announce, notifyError } from "../notices.js";
import { useIsOnScreen } from "./on_screen.js";
import { go, sessionPath } from "../router.js";
import { words } from "../words.js";

const dialogs = () => import("./message_dialogs.js");
/** The dialogs, by the act that opens them. @type {Record<string, import("../lazy.js").Load>} */
export const DIALOGS = {
  details: () => dialogs().then((found) => found.DetailsDialog),
  revisions: () => dialogs().then((found) => found.RevisionsDialog),
  delete: () => dialogs().then((found) => found.DeleteDialog),
};

/** @typedef {{ label: string, icon: string, run: () => any, isChecked?: boolean, isDanger?: boolean }} Act */

/**
 * @param {object} props
 * @param {{ current: HTMLElement | null }} props.article the message, which has acts while it is on the screen
 * @param {any} props.message
 * @param {string} props.sessionId
 * @param {(message?: any) => void} props.onChanged
 * @param {(text: string) => void} props.onWrite opens the field for another version, with this text
 */
export function MessageMenu({ article, message, sessionId, onChanged, onWrite }) {
  const isOnScreen = useIsOnScreen(article);
  const [isOpen, setOpen] = useState(false);
  const [dialog, setDialog] = useState("");
  const button = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const link = () => new URL(sessionPath(sessionId, message.seq), location.href).href;
  const isDeleted = useRef(false);
  const closeDialog = () => {
    setDialog("");
    // A deleted message loses its menu, so the message itself gets the focus.
    const place = isDeleted.current ? button.current?.closest("article") : button.current;
    /** @type {HTMLElement | null | undefined} */ (place)?.focus({ preventScroll: true });
  };
  const onDeleted = () => {
    isDeleted.current = true;
    onChanged();
  };
  const load = dialog && DIALOGS[dialog];
  const run = (/** @type {Act} */ act) => {
    setOpen(false);
    button.current?.focus();
    act.run();
  };
  if (!isOnScreen) return null;
  return html`<div class="acts" role="group" aria-label=${words.acts}>
    ${message.content && h(CopyButton, { text: () => message.content, label: words.copyText })}
    ${h(CopyButton, { text: link, label: words.copyLink, icon: "link" })}
    ${!message.deleted_at && html`<button type="button" ref=${button} class="icon-button" aria-label=${words.more} title=${words.more}
      aria-haspopup="menu" aria-expanded=${String(isOpen)} onClick=${() => setOpen(!isOpen)}>${h(Icon, { name: "more" })}</button>`}
    ${isOpen && h(Menu, { opener: button.current, acts: actsOf({ message, sessionId, onChanged, onWrite, setDialog }), run, onClose: () => setOpen(false) })}
    ${load && h(Lazy, { key: dialog, load, props: { message, sessionId, onChanged: dialog === "delete" ? onDeleted : onChanged, onClose: closeDialog } })}
  </div>`;
}

/** @param {any} given @returns {Act[]} */
function actsOf({ message, sessionId, onChanged, onWrite, setDialog }) {
  const rate = (/** @type {number} */ rating) => async () => {
    const before = message.feedback ?? {};
    const body = { rating: before.rating === rating ? null : rating, comment: before.comment ?? null, labels: before.labels ?? null };
    try {
      onChanged((await send("PUT", `${addressOf(sessionId, message)}/feedback`, { body })).data);
      announce(body.rating ? words.rated(rating) : words.undo);
    } catch (error) {
      notifyError(error);
    }
  };
  const fork = async () => {
    try {
      const session = await post(`/sessions/${sessionId}/fork`, { at_seq: message.seq });
      announce(words.forked);
      go(sessionPath(session.id));
    } catch (error) {
      notifyError(error);
    }
  };
  const isAnswer = message.role === "assistant";
  const rating = message.feedback?.rating;
  /** @type {(Act | false)[]} */
  const acts = [
    { label: words.editVersion, icon: "edit", run: () => onWrite(message.content) },
    isAnswer && { label: words.retryVersion, icon: "again", run: () => onWrite("") },
    { label: words.forkHere, icon: "branch", run: fork },
    isAnswer && { label: words.good, icon: "thumbUp", run: rate(1), isChecked: rating === 1 },
    isAnswer && { label: words.bad, icon: "thumbDown", run: rate(-1), isChecked: rating === -1 },
    { label: words.details, icon: "info", run: () => setDialog("details") },
    message.revision > 1 && { label: words.revisions, icon: "clock", run: () => setDialog("revisions") },
    { label: words.deleteMessage, icon: "trash", run: () => setDialog("delete"), isDanger: true },
  ];
  return acts.filter((each) => each !== false);
}

/** @param {{ opener: HTMLElement | null, acts: Act[], run: (act: Act) => void, onClose: () => void }} props */
function Menu({ opener, acts, run, onClose }) {
  const menu = useRef(/** @type {HTMLElement | null} */ (null));
  // Before the next key, which would otherwise be one of the page's.
  useLayoutEffect(() => {
    const shown = /** @type {HTMLElement} */ (menu.current);
    shown.showPopover?.();
    if (opener) place(shown, opener.getBoundingClientRect());
    /** @type {HTMLElement | null} */ (shown.querySelector("button"))?.focus({ preventScroll: true });
    // The menu does not move with the text below it, so it closes when that scrolls.
    const close = (/** @type {Event} */ event) => !shown.contains(/** @type {Node} */ (event.target)) && onClose();
    addEventListener("scroll", close, true);
    return () => removeEventListener("scroll", close, true);
  }, []);
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const buttons = [.../** @type {HTMLElement} */ (menu.current).querySelectorAll("button")];
    const at = buttons.indexOf(/** @type {any} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) buttons.at(to % buttons.length)?.focus();
    else if (event.key === "Escape") onClose(), opener?.focus();
    else if (event.key === "Tab") return onClose(), opener?.focus();
    else return;
    event.preventDefault();
  };
  return html`<div ref=${menu} class="menu message-menu" role="menu" popover="auto" aria-label=${words.more}
    onKeyDown=${onKeyDown} onToggle=${(/** @type {any} */ event) => event.newState === "closed" && onClose()}>
    ${acts.map((each) => html`<button type="button" key=${each.label} tabindex="-1" class=${each.isDanger ? "danger" : ""}
      role=${each.isChecked === undefined ? "menuitem" : "menuitemcheckbox"}
      aria-checked=${each.isChecked === undefined ? null : String(each.isChecked)}
      onClick=${() => run(each)}>${h(Icon, { name: each.icon })}${each.label}${each.isChecked && h(Icon, { name: "check" })}</button>`)}
  </div>`;
}

/** Put the menu under its button, or above it near the lower edge.
 * @param {HTMLElement} menu @param {DOMRect} button */
function place(menu, button) {
  const { width, height } = menu.getBoundingClientRect();
  const below = button.bottom + 4;
  const top = below + height > innerHeight ? Math.max(4, button.top - height - 4) : below;
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.max(4, Math.min(button.right - width, innerWidth - width - 4))}px`;
}
