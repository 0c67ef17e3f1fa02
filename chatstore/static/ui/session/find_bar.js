// Find here: counts what the server counts, so it finds what is not loaded.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "../api.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { isComposing } from "../keys.js";
import { clearMarks, markWords, wordsOf } from "./found_marks.js";
import { notifyError } from "../notices.js";
import { showBranchWith } from "./other_version.js";
import { words } from "../words.js";

const PAUSE_MS = 120;
const PAGE = 100;

/** @typedef {{ total: number, isExact: boolean, hits: (Api["Hit"] & { seq: number })[], cursor: string | null, at: number }} Found */

/**
 * @param {object} props
 * @param {import("./open_session.js").OpenSession} props.open
 * @param {() => import("./transcript.js").Transcript | null} props.transcript
 * @param {string} props.text
 * @param {import("@preact/signals").Signal<number>} props.moves counts how often the reader or the messages moved
 * @param {() => void} props.onClose
 */
export function FindBar({ open, transcript, text: firstText, moves, onClose }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [text, setText] = useState(firstText);
  const [found, setFound] = useState(/** @type {Found | null} */ (null));
  const query = text.trim();

  // Before the next key: what is typed then belongs into the field.
  useLayoutEffect(() => field.current?.select(), []);
  useEffect(() => clearMarks, []);
  useEffect(() => {
    setFound(null);
    if (!query) return clearMarks();
    const ended = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const page = await search(open, query, null, ended.signal);
        const next = { total: page.total, isExact: page.total_is_exact, hits: page.hits, cursor: page.next_cursor, at: 0 };
        setFound(next);
        show(next);
      } catch (error) {
        if (!ended.signal.aborted) notifyError(error);
      }
    }, PAUSE_MS);
    return () => (clearTimeout(timer), ended.abort());
  }, [query, open]);
  useEffect(() => {
    const box = transcript()?.box;
    if (found && box) markWords(box, found.hits, wordsOf(found.hits), found.hits[found.at]?.seq);
  }, [found, moves.value]);

  /** @param {Found} shown */
  async function show({ hits, at }) {
    const hit = hits[at];
    if (!hit) return;
    const isHere = open.chunks.path.positionOf(hit.seq) >= 0 || (await showBranchWith(open, hit.seq));
    if (isHere) await transcript()?.jump(hit.seq, { isMarked: true, offset: 120 });
  }

  /** @param {number} by */
  async function step(by) {
    if (!found?.hits.length) return;
    let { hits, cursor } = found;
    // Backwards from the first hit is the last one, which may not be read yet.
    while (cursor && (found.at + by >= hits.length || found.at + by < 0)) {
      const page = await search(open, query, cursor, open.signal);
      hits = [...hits, ...page.hits];
      cursor = page.next_cursor;
      if (by > 0 && found.at + by < hits.length) break;
    }
    const next = { ...found, hits, cursor, at: (found.at + by + hits.length) % hits.length };
    setFound(next);
    show(next);
  }

  /** @param {number} by */
  const go = (by) => step(by).catch((error) => open.signal.aborted || notifyError(error));

  /** @param {KeyboardEvent} event */
  function onKeyDown(event) {
    if (isComposing(event)) return;
    const by = { Enter: event.shiftKey ? -1 : 1, F3: event.shiftKey ? -1 : 1 }[event.key];
    if (by) go(by);
    else if (event.key === "Escape") onClose();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  const state = !query ? "" : found ? words.transcript.foundAt(found.hits.length ? found.at + 1 : 0, found.total, found.isExact) : "…";
  return html`<div class="find-bar" role="search" aria-label=${words.transcript.find} onKeyDown=${onKeyDown}>
    <input ref=${field} id="find" aria-label=${words.transcript.find} dir="auto" autocomplete="off" spellcheck=${false} value=${text}
      onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)} />
    <span class="find-count num" role="status">${state}</span>
    <button class="icon-button" aria-label=${words.transcript.previousFound} onClick=${() => go(-1)}>${h(Icon, { name: "arrowUp" })}</button>
    <button class="icon-button" aria-label=${words.transcript.nextFound} onClick=${() => go(1)}>${h(Icon, { name: "arrowDown" })}</button>
    <button class="icon-button" aria-label=${words.close} onClick=${onClose}>${h(Icon, { name: "close" })}</button>
  </div>`;
}

/** @param {import("./open_session.js").OpenSession} open @param {string} q @param {string | null} cursor @param {AbortSignal} ended */
const search = (open, q, cursor, ended) =>
  get("/search", { q, session_id: open.id, sort: "seq", count: cursor ? null : true, limit: PAGE, cursor }, { signal: ended });
