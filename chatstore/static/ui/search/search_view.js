// /search?q=…: the search as a page, with further pages of what it finds.
import { useEffect, useRef, useState } from "preact/hooks";
import { h, html } from "../html.js";
import { isComposing } from "../keys.js";
import { Scopes } from "./palette.js";
import { route, setQuery } from "../router.js";
import { isSought, useSearch } from "./search_data.js";
import { Groups } from "./search_hits.js";
import { words } from "../words.js";

const LIMIT = 20;

export function SearchView() {
  const { query } = route.value;
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [text, setText] = useState(query.get("q") ?? "");
  const sessionId = query.get("session");
  const asked = query.get("scope");
  const scope = asked === "names" || (asked === "session" && sessionId) ? asked : "everywhere";
  const sort = query.get("sort") === "newest" ? "newest" : "relevance";
  const { found, isWaiting, more } = useSearch({ text, scope: /** @type {any} */ (scope), sort, sessionId, limit: LIMIT });

  // Back and Forward change the address, and so the text.
  useEffect(() => setText(query.get("q") ?? ""), [query.get("q")]);
  useEffect(() => {
    document.title = `${words.palette.search} · ${words.appName}`;
    if (!matchMedia("(pointer: coarse)").matches) field.current?.focus();
  }, []);

  /** @param {any} event */
  function onInput(event) {
    setText(event.target.value);
    // The text of a composition is not finished, so the address waits for it.
    if (!event.isComposing) setQuery({ q: event.target.value || null });
  }

  /** @param {string} id */
  const restPath = (id) => `/search?${new URLSearchParams({ q: text, scope: "session", session: id, sort })}`;

  return html`<div class="page search-page"><h1>${words.palette.search}</h1>
    <form role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <input ref=${field} class="field" type="search" aria-label=${words.palette.searchEverything} autocomplete="off" dir="auto"
        spellcheck=${false} placeholder=${words.palette.searchHint} maxlength="500" value=${text} onInput=${onInput}
        onCompositionEnd=${(/** @type {any} */ event) => setQuery({ q: event.target.value || null })}
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => isComposing(event) && event.key === "Enter" && event.preventDefault()} />
    </form>
    <p class="small-print">${words.palette.filterHint}</p>
    ${h(Scopes, {
      scope: /** @type {any} */ (scope), sort, hasSession: sessionId !== null,
      setScope: (/** @type {string} */ name) => setQuery({ scope: name }),
      setSort: (/** @type {string} */ name) => setQuery({ sort: name }),
    })}
    <div class="found" aria-busy=${String(isWaiting)}>
      <p class="small-print" role="status">${isSought(text) && found && !found.error &&
        (found.groups.length ? words.palette.hitsIn(found.total ?? 0, found.isExact, found.milliseconds) : words.palette.nothingFound)}</p>
      ${h(Groups, { groups: found?.groups ?? [], restPath: scope === "session" ? undefined : restPath })}
      ${found?.error && html`<p class="danger" role="alert">${words.failed(found.error)}</p>`}
      ${found?.next && html`<button class="quiet more-button" disabled=${isWaiting} onClick=${more}>${words.palette.more}</button>`}
    </div>
  </div>`;
}
