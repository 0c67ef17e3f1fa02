// Turns the address into a route and back. Views read `route`; links need no handler.
import { signal } from "@preact/signals";

/**
 * @typedef {object} Route
 * @property {"home"|"session"|"search"|"archived"|"trash"|"usage"|"settings"|"shared"|"missing"} view
 * @property {string} path
 * @property {string | null} sessionId
 * @property {number | null} seq the message of the address, /s/<id>#<seq>
 * @property {string | null} token of a shared session
 * @property {URLSearchParams} query
 */

const VIEWS = ["search", "archived", "trash", "usage", "settings"];

/** @param {URL | Location} url @returns {Route} */
export function parseRoute(url) {
  const path = url.pathname.replace(/(.)\/$/, "$1");
  const seq = /^#\d{1,15}$/.test(url.hash) ? Number(url.hash.slice(1)) : null;
  const session = /^\/s\/([0-9a-f-]{36})$/i.exec(path);
  const shared = /^\/shared\/([^/]+)$/.exec(path);
  const named = /** @type {any} */ (VIEWS.find((each) => path === `/${each}`));
  return {
    view: session ? "session" : shared ? "shared" : path === "/" ? "home" : (named ?? "missing"),
    path,
    sessionId: session ? session[1].toLowerCase() : null,
    seq,
    token: shared ? shared[1] : null,
    query: new URLSearchParams(url.search),
  };
}

export const route = signal(parseRoute(location));

/** @param {string} id @param {number} [seq] */
export const sessionPath = (id, seq) => `/s/${id}${seq ? `#${seq}` : ""}`;

/**
 * Show another address. `isReplaced` makes no entry in the browser's history: for
 * filters and other changes that Back must not undo one by one.
 * @param {string} address @param {{ isReplaced?: boolean }} [options]
 */
export function go(address, { isReplaced = false } = {}) {
  const url = new URL(address, location.href);
  if (url.href !== location.href) {
    history[isReplaced ? "replaceState" : "pushState"](null, "", url);
  }
  route.value = parseRoute(url);
}

/** Change parts of the query, for example the filters of the list.
 * @param {Record<string, string | string[] | null>} changes */
export function setQuery(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    url.searchParams.delete(name);
    for (const each of value === null ? [] : [value].flat()) url.searchParams.append(name, each);
  }
  go(url.href, { isReplaced: true });
}

/** Follow the address from now on: Back, Forward, typed fragments and links. */
export function startRouter() {
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => (route.value = parseRoute(location)));
  document.addEventListener("click", (event) => {
    const link = /** @type {Element} */ (event.target).closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || !isOurs(link, event)) return;
    event.preventDefault();
    go(link.href);
  });
}

/** @param {HTMLAnchorElement} link @param {MouseEvent} event */
function isOurs(link, event) {
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  return (
    isPlain && !event.defaultPrevented && !link.target && !link.hasAttribute("download") &&
    link.origin === location.origin && parseRoute(new URL(link.href)).view !== "missing"
  );
}
