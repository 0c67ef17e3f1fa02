// The scopes of the list, its menu of filters, and the chosen ones as chips.
import { useEffect, useRef, useState } from "preact/hooks";
import { get } from "../api.js";
import { formatDay } from "../dates.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { clearFilters, filters, isFiltered, scope, scopePath, setFilters } from "./list_address.js";
import { place } from "./row_menu.js";
import { words } from "../words.js";

const MAX_OFFERED = 30;

/** @param {{ of: import("./list_address.js").Scope, text: string }} props */
function ScopeLink({ of, text }) {
  return html`<a class="chip" href=${scopePath(of)} aria-current=${scope.value === of ? "true" : undefined}>${text}</a>`;
}

export function Filters() {
  return html`<div class="filters">
      ${h(ScopeLink, { of: "all", text: words.all })}
      ${h(ScopeLink, { of: "archived", text: words.archivedScope })}
      ${h(ScopeLink, { of: "trash", text: words.trashScope })}
      <span class="space"></span>
      ${scope.value !== "trash" && h(FilterMenu, {})}
    </div>
    ${scope.value !== "trash" && isFiltered.value && h(Chips, {})}`;
}

/** @param {{ text: string, remove: () => void }} props */
function Chip({ text, remove }) {
  return html`<button class="chip is-filter" title=${words.removeFilter(text)} aria-label=${words.removeFilter(text)} onClick=${remove}>
    <span class="chip-text" dir="auto">${text}</span>${h(Icon, { name: "close", size: 12 })}</button>`;
}

/** The choices that hold. Removing one moves the focus to the menu, so it is never lost. */
function Chips() {
  const { tags, model, from, to } = filters.value;
  const change = (/** @type {any} */ changes) => () => {
    setFilters(changes);
    document.getElementById("filter-button")?.focus();
  };
  return html`<div class="chips" role="group" aria-label=${words.filter}>
    ${tags.map((tag) => h(Chip, { key: `tag ${tag}`, text: tag, remove: change({ tags: tags.filter((each) => each !== tag) }) }))}
    ${model && h(Chip, { key: "model", text: model, remove: change({ model: null }) })}
    ${from && h(Chip, { key: "from", text: words.fromDay(formatDay(from)), remove: change({ from: null }) })}
    ${to && h(Chip, { key: "to", text: words.toDay(formatDay(to)), remove: change({ to: null }) })}
    ${tags.length + Number(Boolean(model)) + Number(Boolean(from)) + Number(Boolean(to)) > 1 &&
    html`<button class="quiet" onClick=${() => (clearFilters(), document.getElementById("filter-button")?.focus())}>${words.clearFilters}</button>`}
  </div>`;
}

function FilterMenu() {
  const [isOpen, setIsOpen] = useState(false);
  const panel = useRef(/** @type {HTMLElement | null} */ (null));
  const button = useRef(/** @type {HTMLElement | null} */ (null));
  const onToggle = (/** @type {any} */ event) => {
    setIsOpen(event.newState === "open");
    if (event.newState === "open") place(event.currentTarget, /** @type {Element} */ (button.current).getBoundingClientRect());
  };
  return html`<button class="chip filter-button" id="filter-button" ref=${button} popovertarget="filter-panel" aria-expanded=${isOpen}>
      ${words.filter}${h(Icon, { name: "down", size: 12 })}</button>
    <div class="menu filter-panel" id="filter-panel" ref=${panel} popover="auto" role="dialog" aria-label=${words.filter} onToggle=${onToggle}>
      ${isOpen && h(FilterForm, {})}
    </div>`;
}

/** @typedef {{ value: string, sessions: number }} Offer */

/** @param {string} path @param {string} list @param {string} member */
function useOffers(path, list, member) {
  const [offers, setOffers] = useState(/** @type {Offer[]} */ ([]));
  useEffect(() => {
    get(path, { limit: MAX_OFFERED }).then(
      (answer) => setOffers(answer[list].map((/** @type {any} */ each) => ({ value: each[member], sessions: each.sessions }))),
      () => {},
    );
  }, [path]);
  return offers;
}

function FilterForm() {
  const { tags, model, from, to } = filters.value;
  const tagOffers = useOffers("/tags", "tags", "tag");
  const modelOffers = useOffers("/models", "models", "model");
  const toggleTag = (/** @type {string} */ tag) =>
    setFilters({ tags: tags.includes(tag) ? tags.filter((each) => each !== tag) : [...tags, tag] });
  return html`<h2>${words.filterTag}</h2>
    <div class="offers">
      ${tagOffers.length === 0 && html`<span class="hint">${words.noTags}</span>`}
      ${tagOffers.map(({ value }) => h(Offered, { key: value, value, isChosen: tags.includes(value), choose: () => toggleTag(value) }))}
    </div>
    <h2>${words.filterModel}</h2>
    <div class="offers">
      ${modelOffers.map(({ value }) => h(Offered, { key: value, value, isChosen: model === value, choose: () => setFilters({ model: model === value ? null : value }) }))}
    </div>
    <div class="days">
      ${h(DayField, { text: words.filterFrom, value: from, set: (day) => setFilters({ from: day }) })}
      ${h(DayField, { text: words.filterTo, value: to, set: (day) => setFilters({ to: day }) })}
    </div>`;
}

/** @param {{ value: string, isChosen: boolean, choose: () => void }} props */
function Offered({ value, isChosen, choose }) {
  return html`<button class="offer" aria-pressed=${isChosen} onClick=${choose}><span class="chip-text" dir="auto">${value}</span></button>`;
}

/** @param {{ text: string, value: string | null, set: (day: string | null) => void }} props */
function DayField({ text, value, set }) {
  return html`<label>${text}<input class="field" type="date" value=${value ?? ""}
    onChange=${(/** @type {any} */ event) => set(event.target.value || null)} /></label>`;
}
