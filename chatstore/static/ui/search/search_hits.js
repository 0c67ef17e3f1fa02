// Shows what the search found: sessions with their hits, with the matches marked.
import { formatExact, formatShort } from "../dates.js";
import { classes, h, html } from "../html.js";
import { Icon } from "../icons.js";
import { sessionPath } from "../router.js";
import { cutAtMatches } from "./search_query.js";
import { soughtHit } from "../sought.js";
import { words } from "../words.js";

/** A text with its matches marked, as elements. @param {{ text: string, matches: number[][] }} props */
export const Marked = ({ text, matches }) =>
  html`<bdi>${cutAtMatches(text, matches).map((each) =>
    each.isMatch ? html`<mark>${each.text}</mark>` : each.text)}</bdi>`;

/** The path that a hit leads to. @param {any} hit */
export const hitPath = (hit) => sessionPath(hit.session_id, hit.seq ?? undefined);

/** All that can be chosen, from top to bottom. @param {any[]} groups @returns {any[]} */
export const hitsOf = (groups) =>
  groups.flatMap((each) => (each.hits.length ? each.hits : [{ session_id: each.session_id }]));

/**
 * The groups as options of a list box, or as plain links without `isOption`.
 * @param {object} props
 * @param {any[]} props.groups
 * @param {number} [props.chosen] which of hitsOf(groups)
 * @param {boolean} [props.isOption]
 * @param {(event: MouseEvent) => void} [props.onOpen] when a link is followed
 * @param {(sessionId: string) => string} [props.restPath] where the other hits of a session are
 */
export function Groups({ groups, chosen = -1, isOption = false, onOpen, restPath }) {
  let place = 0;
  return groups.map((group) => {
    const name = group.session_name || words.untitled;
    const rows = group.hits.length ? group.hits : [{ session_id: group.session_id, isName: true }];
    const first = place;
    place += rows.length;
    const isNamed = rows[0].seq == null;
    return html`<div key=${group.session_id} class="group" role=${isOption ? "group" : null}
      aria-label=${isOption ? name : null}>
      ${!isNamed && html`<p class="group-name"><bdi>${name}</bdi>
        <span>${words.palette.hits(group.count, group.count_is_exact)}</span></p>`}
      ${rows.map((/** @type {any} */ hit, /** @type {number} */ index) =>
        h(Hit, { key: index, hit, group, name, number: first + index, chosen, isOption, onOpen }))}
      ${restPath && group.count > group.hits.length && group.hits.length > 0 && html`<p class="rest">
        <a href=${restPath(group.session_id)}>${words.palette.rest(group.count, group.count_is_exact)}</a></p>`}
    </div>`;
  });
}

/** @param {{ hit: any, group: any, name: string, number: number, chosen: number, isOption: boolean, onOpen?: (event: MouseEvent) => void }} props */
function Hit({ hit, group, name, number, chosen, isOption, onOpen }) {
  const isMessage = hit.seq != null;
  const when = hit.timestamp ?? group.last_updated_at;
  const open = (/** @type {MouseEvent} */ event) => {
    soughtHit.value = hit;
    onOpen?.(event);
  };
  return html`<a class=${classes("hit-row", number === chosen && "on")} href=${hitPath(hit)} onClick=${open}
    id=${isOption ? optionId(number) : null} role=${isOption ? "option" : null}
    tabindex=${isOption ? -1 : null} aria-selected=${isOption ? String(number === chosen) : null}>
    <span class="num">${isMessage ? hit.seq : h(Icon, { name: "search", size: 14 })}</span>
    <span class=${isMessage ? "snippet" : "snippet is-name"} dir="auto">
      ${hit.snippet ? h(Marked, { text: hit.snippet, matches: hit.matches }) : html`<bdi>${name}</bdi>`}
      ${isMessage && html`<span class="visually-hidden">, ${hit.role}</span>`}
    </span>
    ${when && html`<time class="num when" datetime=${when} title=${formatExact(when)}>${formatShort(when)}</time>`}
  </a>`;
}

/** @param {number} number */
export const optionId = (number) => `found-${number}`;
