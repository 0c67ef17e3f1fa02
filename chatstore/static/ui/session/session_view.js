// One session: its bar, its messages, its details, and the composer at the foot.
import { effect, signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Composer, focusComposer } from "../compose/composer.js";
import { h, html } from "../html.js";
import { addKeys } from "../keys.js";
import { late, Lazy, loadSoon, Opening } from "../lazy.js";
import { loadEditor } from "../message/message.js";
import { DIALOGS } from "../message/message_menu.js";
import { announce } from "../notices.js";
import { OpenSession } from "./open_session.js";
import { Pending } from "../compose/pending.js";
import { Place } from "./place.js";
import { focusNextRegion } from "../regions.js";
import { findUnread } from "./read_marks.js";
import { route } from "../router.js";
import { SessionBar } from "./session_bar.js";
import { soughtHit } from "../sought.js";
import { readStored, writeStored } from "../storage.js";
import { Transcript } from "./transcript.js";
import { currentSeq, focusMessage, transcriptKeys } from "./transcript_keys.js";
import { words } from "../words.js";

const loadOtherVersion = () => import("./other_version.js").then((found) => found.OtherVersion);
const showElsewhere = late(async () => {
  const { showBranchWith } = await import("./other_version.js");
  return async (/** @type {OpenSession} */ open, /** @type {Transcript} */ transcript, /** @type {number} */ seq) => {
    if (await showBranchWith(open, seq)) await focusMessage(transcript, seq, true);
  };
});
const markHit = late(() => import("./found_marks.js").then((found) => found.markHit));
const loadFindBar = () => import("./find_bar.js").then((found) => found.FindBar);
const loadDetails = () => import("./details.js").then((found) => found.Details);
const takeAlong = () => import("./take_along.js");
const copyAsMarkdown = late(() => takeAlong().then((found) => found.copyAsMarkdown));
const copyLink = late(() => takeAlong().then((found) => found.copyLink));

/** Wide windows have room for the details; others show them as a sheet. */
const wide = matchMedia("(min-width: 1180px)");
const isShowingDetails = signal(wide.matches && readStored("details", true));
wide.addEventListener("change", () => (isShowingDetails.value = wide.matches && readStored("details", true)));

function toggleDetails() {
  const isShown = !isShowingDetails.value;
  // A sheet has the focus while it is open; beside the transcript the details take none.
  const isLosingFocus = !isShown && document.getElementById("details")?.contains(document.activeElement);
  isShowingDetails.value = isShown;
  if (wide.matches) writeStored("details", isShown);
  const toggle = document.getElementById("details-toggle");
  if (isLosingFocus) (toggle?.checkVisibility() ? toggle : document.getElementById("transcript"))?.focus();
}

/** @param {{ sessionId: string, seq: number | null }} props */
export function SessionView({ sessionId }) {
  const open = useMemo(() => new OpenSession(sessionId), [sessionId]);
  useEffect(() => {
    open.onNew = (last, count) => {
      // Writers know of the one message that they have just added.
      const isOwn = count === 1 && last[0].role === "user";
      if (!isOwn) announce(words.transcript.isNew(last.at(-1)?.role ?? "", count));
    };
    open.open();
    return () => open.close();
  }, [open]);
  const session = open.session.value;
  const state = open.state.value;
  useEffect(() => {
    if (session) document.title = `${session.name || words.untitled} · ${words.appName}`;
  }, [session?.name, session === null]);
  if (state === "missing") return h(Failure, { head: words.transcript.noSession, text: words.transcript.noSessionText });
  if (state === "failed") return h(Failure, { head: words.failed(open.error.value), onRetry: () => open.refresh() });
  if (!session || state === "loading") return html`<div class="page" aria-busy="true"><h1 class="visually-hidden">${words.transcript.loading}</h1></div>`;
  return h(Shown, { open, session, isDeleted: state === "deleted" });
}

/** @param {{ head: string, text?: string, onRetry?: () => void }} props */
function Failure({ head, text, onRetry }) {
  return html`<div class="page void"><h1>${head}</h1>${text && html`<p>${text}</p>`}
    <p class="inline-row">${onRetry && html`<button class="primary" onClick=${onRetry}>${words.tryNow}</button>`}
      <a class="quiet bordered" href="/">${words.missingPage.allSessions}</a></p></div>`;
}

/** @param {{ open: OpenSession, session: import("./open_session.js").Session, isDeleted: boolean }} props */
function Shown({ open, session, isDeleted }) {
  const transcript = useRef(/** @type {Transcript | null} */ (null));
  const [finding, setFinding] = useState(/** @type {string | null} */ (null));
  const [isRenaming, setRenaming] = useState(false);
  const place = useMemo(() => new Place(open), [open]);
  const unread = useMemo(() => findUnread(open.id, open.chunks.path), [open]);
  const start = useMemo(() => place.start(unread), [open]);
  const onPrint = () => transcript.current?.print();
  const current = () => transcript.current;
  useEffect(() => () => place.end(), [place]);
  useEffect(() => {
    // There is nothing to read yet, only to write.
    if (session.message_count === 0) focusComposer();
  }, [open]);
  useEffect(() => loadSoon(loadFindBar, loadDetails, loadEditor, ...Object.values(DIALOGS)), []);
  useEffect(() => followAddress(open, current), [open]);
  useEffect(() => {
    const hit = soughtHit.value;
    const box = transcript.current?.box;
    if (finding !== null || !box || hit?.session_id !== open.id || !hit.snippet) return;
    markHit(box, hit);
  }, [open, place.moves.value, soughtHit.value, finding]);
  useEffect(() => () => {
    if (soughtHit.peek()?.session_id === open.id) soughtHit.value = null;
  }, [open]);
  useEffect(
    () => addKeys([
      ...transcriptKeys(current),
      { key: "ctrl+f", meaning: words.transcript.find, isGlobal: true, run: () => {
        // The second press is the browser's own.
        if (document.activeElement?.id === "find") return false;
        setFinding(getSelection()?.toString().trim().slice(0, 200) ?? "");
        document.getElementById("find")?.focus();
      } },
      { key: "F6", meaning: words.transcript.keys.region, isGlobal: true, run: focusNextRegion },
      { key: "i", meaning: words.transcript.keys.details, run: toggleDetails },
      { key: "r", meaning: words.transcript.rename, run: () => setRenaming(true) },
      { key: "y", meaning: words.transcript.copyLink, run: () => void copyLink(session, current() ? currentSeq(/** @type {any} */ (current())) ?? 0 : 0) },
      { key: "shift+c", meaning: words.transcript.copyMarkdown, run: () => void copyAsMarkdown(session) },
    ]),
    [open, session],
  );
  const closeFind = () => {
    setFinding(null);
    const box = transcript.current?.box;
    const hit = box?.querySelector(".hit");
    /** @type {HTMLElement | undefined} */ (hit ?? box)?.focus({ preventScroll: true });
  };
  const hasDetails = isShowingDetails.value;
  return html`<div class=${`session ${hasDetails ? "has-details" : ""}`}>
    <div class="session-main">
      ${h(SessionBar, { session, isRenaming, setRenaming, isFinding: finding !== null, onPrint,
        onFind: () => (finding === null ? setFinding("") : closeFind()), hasDetails, onDetails: toggleDetails })}
      ${isDeleted && html`<div class="banner" role="status"><b>${words.transcript.deleted}</b><span>${words.transcript.deletedText}</span></div>`}
      <div class="session-body">
        ${finding !== null && h(Lazy, {
          load: loadFindBar, waiting: h(Opening, {}),
          props: { open, transcript: current, text: finding, moves: place.moves, onClose: closeFind },
        })}
        ${h(Transcript, { open, start, unread, onReady: (/** @type {Transcript} */ shown) => (transcript.current = shown), onMove: place.onMove },
          html`<div class="messages">${h(Pending, { sessionId: open.id })}</div>`)}
      </div>
      ${open.branch.value ? h(Lazy, { load: loadOtherVersion, props: { open } })
        : !isDeleted && h(Composer, { sessionId: open.id, session })}
    </div>
    ${hasDetails && html`<div class="details-scrim" onClick=${toggleDetails}></div>`}
    ${hasDetails && h(Lazy, { load: loadDetails, props: { open, session, here: place.here, onPrint, onClose: toggleDetails, isSheet: !wide.matches } })}
  </div>`;
}

/** Show the message of the address each time that it is asked for.
 * @param {OpenSession} open @param {() => Transcript | null} current */
function followAddress(open, current) {
  let isFirst = true;
  return effect(() => {
    const { sessionId, seq } = route.value;
    const transcript = current();
    const isAsked = !isFirst || seq !== null;
    isFirst = false;
    if (!isAsked || !seq || sessionId !== open.id || !transcript) return;
    if (open.chunks.path.positionOf(seq) >= 0) focusMessage(transcript, seq, true);
    else showElsewhere(open, transcript, seq);
  });
}
