// Asks the search as the reader types, and forgets answers to what was typed before.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api.js";
import { parseQuery } from "./search_query.js";

const WAIT_MS = 120;
const MIN_LENGTH = 2;

/** @typedef {"everywhere" | "session" | "names"} SearchScope */
/** @typedef {"relevance" | "newest"} Sort */
/**
 * @typedef {object} Search
 * @property {string} text as typed
 * @property {SearchScope} scope
 * @property {Sort} sort
 * @property {string | null} sessionId the open session, for the scope "session"
 * @property {number} limit groups or names of a page
 */
/**
 * @typedef {object} Found
 * @property {any[]} groups sessions with their hits; a session found by name has no hits
 * @property {number | null} total
 * @property {boolean} isExact
 * @property {number} milliseconds
 * @property {string | null} next the cursor of the next page
 * @property {any} error
 */

/** Whether the text is long enough to be sought. @param {string} text */
export const isSought = (text) => [...text.trim()].length >= MIN_LENGTH && parseQuery(text).q !== "";

/** @param {Search} search @param {string | null} cursor @param {AbortSignal} signal @returns {Promise<Found>} */
async function find(search, cursor, signal) {
  const begun = performance.now();
  const { q, filters } = parseQuery(search.text);
  const common = { q, ...filters, sort: search.sort, limit: search.limit, cursor, count: cursor ? null : true };
  const page = search.scope === "names"
    ? await findNames(q, filters, search, cursor, signal)
    : search.scope === "session"
      ? asGroup(await get("/search", { ...common, session_id: search.sessionId }, { signal }))
      : await get("/search", { ...common, group: "session", archived: "any" }, { signal });
  return {
    groups: page.groups, total: page.total ?? null, isExact: page.total_is_exact !== false,
    milliseconds: Math.max(1, Math.round(performance.now() - begun)), next: page.next_cursor, error: null,
  };
}

/** The hits of one session as its group. @param {any} page */
function asGroup(page) {
  if (!page.hits.length) return { ...page, groups: [] };
  const { session_id, session_name } = page.hits[0];
  const count = page.total ?? page.hits.length;
  return { ...page, groups: [{ session_id, session_name, hits: page.hits, count, count_is_exact: page.total_is_exact !== false }] };
}

/** The groups of two pages; a session that is in both has its hits together.
 * @param {any[]} before @param {any[]} after */
function joinGroups(before, after) {
  const last = before.at(-1);
  const first = after[0];
  if (!last || last.session_id !== first?.session_id) return [...before, ...after];
  return [...before.slice(0, -1), { ...last, hits: [...last.hits, ...first.hits] }, ...after.slice(1)];
}

/** @param {string} q @param {Record<string, any>} filters @param {Search} search
 * @param {string | null} cursor @param {AbortSignal} signal */
async function findNames(q, filters, search, cursor, signal) {
  const { tag, model, after, before } = filters;
  const page = await get("/sessions/", {
    name: q.replace(/\*$/, ""), tag, model, created_after: after, created_before: before, archived: "any",
    sort: search.sort === "relevance" ? "name" : "last_updated_at", limit: search.limit, cursor,
    fields: "id,name,last_updated_at", count: cursor ? null : true,
  }, { signal });
  const groups = page.sessions.map((/** @type {any} */ each) => ({
    session_id: each.id, session_name: each.name, count: 0, count_is_exact: true, hits: [],
    last_updated_at: each.last_updated_at,
  }));
  return { groups, total: page.total, next_cursor: page.next_cursor };
}

/**
 * What is found for `search`, 120 ms after its last change. Answers to an earlier
 * search are dropped. `more` reads the next page.
 * @param {Search} search
 */
export function useSearch(search) {
  const [found, setFound] = useState(/** @type {Found | null} */ (null));
  const [isWaiting, setWaiting] = useState(false);
  const running = useRef(/** @type {AbortController | null} */ (null));

  /** @param {string | null} cursor @param {Found | null} before */
  async function ask(cursor, before) {
    const controller = new AbortController();
    running.current?.abort();
    running.current = controller;
    setWaiting(true);
    const answer = await find(search, cursor, controller.signal).catch((error) => ({
      groups: [], total: null, isExact: true, milliseconds: 0, next: cursor, error,
    }));
    if (controller.signal.aborted) return;
    setWaiting(false);
    const total = answer.total ?? before?.total ?? null;
    setFound({ ...answer, total, groups: joinGroups(before?.groups ?? [], answer.groups) });
  }

  useEffect(() => {
    const isDone = !isSought(search.text);
    if (isDone) {
      setFound(null);
      setWaiting(false);
      return () => {};
    }
    const timer = setTimeout(() => ask(null, null), WAIT_MS);
    return () => {
      clearTimeout(timer);
      running.current?.abort();
    };
  }, [search.text, search.scope, search.sort, search.sessionId]);

  return { found, isWaiting, more: () => found?.next && ask(found.next, found) };
}
