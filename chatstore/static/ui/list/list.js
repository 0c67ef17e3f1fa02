// The navigation of the UI: search, scopes, the sessions, and the state of the connection.
import { useEffect, useLayoutEffect } from "preact/hooks";
import { ConnectionState } from "../connection.js";
import { Filters } from "./filters.js";
import { openHelp } from "../pages/help.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { isEmptyStore } from "./empty_store.js";
import { clearFilters, isFiltered, scope } from "./list_address.js";
import { ListDialog } from "./list_dialogs.js";
import { addListKeys, onListKey } from "./list_keys.js";
import { ListRows } from "./list_rows.js";
import { openPalette } from "../search/palette_keys.js";
import { route } from "../router.js";
import { RowMenu } from "./row_menu.js";
import { BulkBar, endSelection } from "./selection.js";
import { createSession, isCreating } from "./session_acts.js";
import { isLoaded, listError, reload, rows, startList, total } from "./session_list.js";
import { words } from "../words.js";

/** @param {{ isMain: boolean }} props whether the window shows the list and nothing else */
export function List({ isMain }) {
  // Before the first paint, because the reader waits for the answer.
  useLayoutEffect(startList, []);
  useEffect(addListKeys, []);
  useEffect(endSelection, [scope.value]);
  const title = { all: words.list, archived: words.archiveTitle, trash: words.trashTitle }[scope.value];
  return html`<div class="side" role=${isMain ? "main" : "navigation"} aria-label=${words.list} onKeyDown=${onListKey}>
    ${isMain && html`<h1 class="visually-hidden">${title}</h1>`}
    <div class="brand">
      <a class="brand-name" href="/">${h(Mark, {})}<b>${words.appName}</b></a>
      <span class="space"></span>
      <a class="icon-button" href="/usage" title=${words.usageLink} aria-label=${words.usageLink} aria-current=${route.value.view === "usage" ? "page" : undefined}>${h(Icon, { name: "chart" })}</a>
      <a class="icon-button" href="/settings" title=${words.settingsLink} aria-label=${words.settingsLink} aria-current=${route.value.view === "settings" ? "page" : undefined}>${h(Icon, { name: "settings" })}</a>
      <button class="primary new" title=${words.newSessionHint} disabled=${isCreating.value} onClick=${() => createSession()}>${h(Icon, { name: "plus" })}${words.newSession}</button>
    </div>
    <button class="search-button" onClick=${() => openPalette()}>${h(Icon, { name: "search" })}<span>${words.searchEverything}</span><kbd>Ctrl K</kbd></button>
    ${h(BulkBar, {})}
    ${!isEmptyStore.value && h(Filters, {})}
    ${h(ListState, {})}
    ${h(ListRows, {})}
    <div class="foot">
      ${h(ConnectionState, {})}
      <span class="space"></span>
      ${total.value !== null && html`<span class="num">${words.sessions(total.value)}</span>`}
      <button class="icon-button" title=${words.keysHint} aria-label=${words.keysHint} onClick=${() => openHelp()}>?</button>
    </div>
    ${h(RowMenu, {})} ${h(ListDialog, {})}
  </div>`;
}

/** What the list says when it has no rows to show, or cannot get more. */
function ListState() {
  if (listError.value) {
    return html`<div class="list-state" role="alert"><p>${words.failed(listError.value)}</p>
      <button class="quiet" onClick=${() => reload(rows.value.length)}>${words.retry}</button></div>`;
  }
  if (!isLoaded.value) return html`<p class="list-state" role="status">${words.loading}</p>`;
  if (rows.value.length) return null;
  if (isFiltered.value && scope.value !== "trash") {
    return html`<div class="list-state"><p>${words.noMatch}</p><button class="quiet" onClick=${clearFilters}>${words.clearFilters}</button></div>`;
  }
  const text = { all: "", archived: words.noArchived, trash: words.noTrash }[scope.value];
  return text ? html`<p class="list-state">${text}</p>` : null;
}

/** The three lines of the product. */
const Mark = () => html`<svg class="mark" width="20" height="20" viewBox="0 0 20 20" aria-hidden="true">
  <rect class="mark-first" x="2" y="3" width="16" height="3.6" rx="1.3" />
  <rect class="mark-second" x="2" y="8.2" width="11.5" height="3.6" rx="1.3" />
  <rect class="mark-third" x="2" y="13.4" width="14" height="3.6" rx="1.3" />
</svg>`;
