// The data of the list: pages by cursor, kept fresh by the change feed. No elements here.
import { computed, effect, signal, untracked } from "@preact/signals";
import { awaySince, get, NoAnswer, Problem } from "../api.js";
import { feedStart, onChanges } from "../changes.js";
import { isEmptyStore } from "./empty_store.js";
import { apiFilters, filters, isFiltered, scope } from "./list_address.js";

/** @typedef {Api["ListedSession"]} Session */

const FIRST_PAGE = 100;
const PAGE = 500;
const MAX_IDS = 100;
const RECOUNT_MS = 1_500;
const FIELDS = "id,name,last_updated_at,message_count,last_message_preview,pinned,archived,metadata_tags,llm_model_name,head_seq";

/** The loaded rows: the list from its beginning. */
export const rows = signal(/** @type {Session[]} */ ([]));
/** The number of sessions that match, or null before the first answer. */
export const total = signal(/** @type {number | null} */ (null));
/** Why the list could not be read, or null. */
export const listError = signal(/** @type {any} */ (null));
export const isLoaded = signal(false);
export const hasMore = computed(() => nextCursor.value !== null);

effect(() => {
  isEmptyStore.value = total.value === 0 && !rows.value.length && !isFiltered.value && scope.value === "all";
});

const nextCursor = signal(/** @type {string | null} */ (null));
let life = new AbortController();
/** @type {Promise<void> | null} */
let growing = null;
let recount = 0;
/** Ends when the last read from the beginning has ended. @type {Promise<void>} */
let reading = Promise.resolve();
/** Sessions that changed while the server did not answer. @type {Set<string>} */
const missed = new Set();

/** @returns {Record<string, any>} */
const listQuery = () =>
  scope.value === "trash"
    ? { trash: true }
    : { ...apiFilters(), pinned_first: true, fields: FIELDS };

/** Read the list again from its beginning, `length` rows at least. @param {number} [length] */
export const reload = (length = FIRST_PAGE) => (reading = readAgain(length));

/** @param {number} length */
async function readAgain(length) {
  life.abort();
  life = new AbortController();
  growing = null;
  const { signal: alive } = life;
  try {
    /** @type {Session[]} */
    let read = [];
    let cursor = null;
    let count = null;
    do {
      const missing = Math.min(Math.max(length - read.length, FIRST_PAGE), PAGE);
      const query = cursor ? { cursor } : { count: true };
      const page = await get("/sessions/", { ...listQuery(), ...query, limit: missing }, { signal: alive });
      count ??= page.total;
      read = joined(read, page.sessions);
      cursor = page.next_cursor;
    } while (cursor && read.length < length);
    rows.value = read;
    total.value = count;
    nextCursor.value = cursor;
    listError.value = null;
    isLoaded.value = true;
  } catch (error) {
    if (!alive.aborted) listError.value = error;
  }
}

/** Load pages until `length` rows are there. @param {number} length */
export function grow(length) {
  if (rows.value.length >= length || !hasMore.value || listError.value) return;
  growing ??= growTo(length, life.signal).finally(() => (growing = null));
}

/** @param {number} length @param {AbortSignal} alive */
async function growTo(length, alive) {
  try {
    while (nextCursor.value && rows.value.length < length) {
      const query = { ...listQuery(), cursor: nextCursor.value, limit: PAGE };
      const page = await get("/sessions/", query, { signal: alive });
      rows.value = joined(rows.value, page.sessions);
      nextCursor.value = page.next_cursor;
    }
  } catch (error) {
    if (alive.aborted) return;
    if (error instanceof Problem && error.status === 400) reload(rows.value.length);
    else listError.value = error;
  }
}

/** A session that moved to the top may be on two pages. @param {Session[]} before @param {Session[]} added */
function joined(before, added) {
  const known = new Set(before.map((each) => each.id));
  return [...before, ...added.filter((each) => !known.has(each.id))];
}

/** Whether `a` stands before `b` in the list. @param {Session} a @param {Session} b */
function isBefore(a, b) {
  if (a.pinned !== b.pinned) return a.pinned;
  if (a.last_updated_at !== b.last_updated_at) return a.last_updated_at > b.last_updated_at;
  return a.id > b.id;
}

/** Put sessions at their places and take others out. @param {Session[]} put @param {Iterable<string>} dropped */
function merge(put, dropped) {
  const moved = new Set([...dropped, ...put.map((each) => each.id)]);
  const kept = rows.value.filter((each) => !moved.has(each.id));
  for (const session of put) {
    let at = kept.findIndex((each) => isBefore(session, each));
    // Past the loaded rows a later page brings it.
    if (at < 0 && hasMore.value) continue;
    if (at < 0) at = kept.length;
    kept.splice(at, 0, session);
  }
  if (kept.length !== rows.value.length) countSoon();
  rows.value = kept;
}

/** @param {Session} session */
const belongs = (session) =>
  scope.value !== "trash" && session.archived === (scope.value === "archived");

/** Show a session as an answer of the server has it. @param {Session} session */
export function putRow(session) {
  if (belongs(session)) merge([session], []);
  else dropRows([session.id]);
}

/** Take sessions out of the list. @param {string[]} ids */
export const dropRows = (ids) => merge([], ids);

/** Read sessions again that may have changed, appeared or gone. @param {string[]} ids */
export async function refresh(ids) {
  if (!isLoaded.value || ids.length > MAX_IDS || scope.value === "trash") return reload(rows.value.length);
  const { signal: alive } = life;
  try {
    const page = await get("/sessions/", { ...listQuery(), id: ids, limit: MAX_IDS }, { signal: alive });
    if (!alive.aborted) merge(page.sessions, ids);
  } catch (error) {
    if (alive.aborted) return;
    if (error instanceof NoAnswer) for (const id of ids) missed.add(id);
    else listError.value = error;
  }
}

/** Read what could not be read while the server was away. */
function catchUp() {
  const ids = [...missed];
  missed.clear();
  if (listError.peek()) reload(rows.peek().length);
  else if (ids.length) refresh(ids);
}

function countSoon() {
  recount ||= setTimeout(async () => {
    recount = 0;
    const { signal: alive } = life;
    const { fields, ...query } = listQuery();
    const page = await get("/sessions/", { ...query, count: true, limit: 1 }, { signal: alive }).catch(() => null);
    if (page && !alive.aborted) total.value = page.total;
  }, RECOUNT_MS);
}

/** Follow the change feed, then the address. Returns a function that ends it. */
export function startList() {
  let end = () => life.abort();
  let isEnded = false;
  // The feed tells what the first reading misses, so the list is read once.
  feedStart().then(() => isEnded || (end = follow()));
  return () => ((isEnded = true), end());
}

function follow() {
  const endEffect = effect(() => {
    scope.value, filters.value;
    rows.value = [];
    total.value = nextCursor.value = null;
    isLoaded.value = false;
    reload();
  });
  const endChanges = onChanges((changes) => {
    // A reading that is under way may have missed a change.
    reading.then(() => (changes ? refresh([...new Set(changes.map((each) => each.session_id))]) : reload(rows.peek().length)));
  });
  const endAway = awaySince.subscribe((since) => since || untracked(catchUp));
  return () => (endEffect(), endChanges(), endAway(), life.abort());
}
