// Which sessions the list shows: scope and filters, as the address of the page says them.
import { computed, signal } from "@preact/signals";
import { go, route } from "../router.js";

/**
 * @typedef {object} Filters
 * @property {string[]} tags only with all of them
 * @property {string | null} model
 * @property {string | null} from the first day, as 2026-11-30 in the reader's time zone
 * @property {string | null} to the last day
 * @typedef {"all" | "archived" | "trash"} Scope
 * @typedef {{ scope: Scope, filters: Filters }} Shown
 */

/** @type {Filters} */
const NONE = { tags: [], model: null, from: null, to: null };
const LISTED = ["home", "archived", "trash", "session"];
const DAY = /^\d{4}-\d\d-\d\d$/;

/** @param {string | null} text */
const readDay = (text) => (text && DAY.test(text) && !isNaN(Date.parse(text)) ? text : null);

/** @param {import("../router.js").Route} address @returns {Shown} */
function read({ view, query }) {
  const named = view === "session" ? query.get("scope") : view;
  return {
    scope: named === "archived" || named === "trash" ? named : "all",
    filters: {
      tags: query.getAll("tag").slice(0, 20),
      model: query.get("model"),
      from: readDay(query.get("from")),
      to: readDay(query.get("to")),
    },
  };
}

const shown = signal(read(route.value));
let readRoute = route.value;

// A link to a session from elsewhere names no filters: the list then stays as it is.
route.subscribe((address) => {
  if (address === readRoute || !LISTED.includes(address.view)) return;
  readRoute = address;
  const next = read(address);
  const isSilent = address.view === "session" && queryOf(next, "session") === "";
  if (!isSilent && JSON.stringify(next) !== JSON.stringify(shown.peek())) shown.value = next;
});

/** @param {Shown} of @param {string} view */
function queryOf({ scope, filters }, view) {
  const query = new URLSearchParams();
  if (view === "session" && scope !== "all") query.set("scope", scope);
  for (const tag of filters.tags) query.append("tag", tag);
  for (const name of /** @type {const} */ (["model", "from", "to"])) {
    const value = filters[name];
    if (value) query.set(name, value);
  }
  return query.size ? `?${query}` : "";
}

export const scope = computed(() => shown.value.scope);
export const filters = computed(() => shown.value.filters);
export const isFiltered = computed(() => queryOf({ scope: "all", filters: filters.value }, "") !== "");

/** @param {Scope} of */
export const scopePath = (of) => (of === "all" ? "/" : `/${of}`);
/** The address of the list as it is shown. */
export const listPath = () => scopePath(scope.value) + queryOf(shown.value, "");
/** The address of a session, with the list as it is shown. @param {string} id */
export const rowPath = (id) => `/s/${id}${queryOf(shown.value, "session")}`;

/** Show other filters, without an entry in the history. @param {Partial<Filters>} changes */
export function setFilters(changes) {
  shown.value = { scope: scope.value, filters: { ...filters.value, ...changes } };
  const { view, sessionId, seq } = route.value;
  if (view === "session" && sessionId) go(rowPath(sessionId) + (seq ? `#${seq}` : ""), { isReplaced: true });
  else if (LISTED.includes(view)) go(listPath(), { isReplaced: true });
}

export const clearFilters = () => setFilters(NONE);

/** Midnight of the reader at the beginning of a day. @param {string} day @param {number} [later] days */
function midnight(day, later = 0) {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later);
}

/** The filters as the API names them; instants are exclusive there. */
export function apiFilters() {
  const { tags, model, from, to } = filters.value;
  return {
    ...(tags.length && { tag: tags }),
    ...(model && { model }),
    ...(from && { updated_after: new Date(midnight(from).getTime() - 1).toISOString() }),
    ...(to && { updated_before: midnight(to, 1).toISOString() }),
    ...(scope.value === "archived" && { archived: true }),
  };
}
