// The sessions that are selected, and the bar with what can be done to all of them.
import { computed, signal } from "@preact/signals";
import { apiFilters, isFiltered, scope } from "./list_address.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { askDelete, askTags } from "./list_dialogs.js";
import { actOnMany, countBulk } from "./session_acts.js";
import { announce, notifyError } from "../notices.js";
import { rows, total } from "./session_list.js";
import { words } from "../words.js";

/** @typedef {import("./session_acts.js").Action} Action */

/** The selected ids, or null while nothing is being selected. */
export const selected = signal(/** @type {Set<string> | null} */ (null));
/** Whether all sessions that match are selected, loaded or not. */
export const isEverything = signal(false);
let anchor = "";

export const isPicking = computed(() => selected.value !== null);
/** @param {string} id */
export const isSelected = (id) => isEverything.value || Boolean(selected.value?.has(id));

export function endSelection() {
  selected.value = null;
  isEverything.value = false;
}

/** Select a session, or no longer. The first one begins the selection. @param {string} id */
export function toggleSelected(id) {
  const next = new Set(isEverything.value ? rows.value.map((each) => each.id) : selected.value);
  isEverything.value = false;
  if (!next.delete(id)) next.add(id);
  anchor = id;
  selected.value = next.size ? next : null;
  announce(words.selectedCount(next.size));
}

/** Select all sessions from the last one that was toggled. @param {string} id */
export function extendSelection(id) {
  const ids = rows.value.map((each) => each.id);
  const ends = [ids.indexOf(anchor), ids.indexOf(id)].sort((a, b) => a - b);
  if (ends[0] < 0) return toggleSelected(id);
  isEverything.value = false;
  selected.value = new Set([...(selected.value ?? []), ...ids.slice(ends[0], ends[1] + 1)]);
  announce(words.selectedCount(selected.value.size));
}

/** What a bulk request takes to mean the selection. */
function selector() {
  if (!isEverything.value) return { ids: [...(selected.value ?? [])] };
  if (scope.value === "trash") return { trash: true };
  const { tag, ...others } = /** @type {Record<string, any>} */ (apiFilters());
  if (!isFiltered.value && scope.value === "all") return { all: true };
  return { filter: { ...others, ...(tag && { tag }), archived: scope.value === "archived" } };
}

const size = () => (isEverything.value ? (total.value ?? 0) : (selected.value?.size ?? 0));

/** @param {Action} action @param {string[]} [tags] */
async function act(action, tags) {
  if (await actOnMany(action, selector(), tags)) endSelection();
}

/** Delete what is selected, after a question if it is more than one.
 * @param {"delete" | "purge"} action */
async function remove(action) {
  try {
    const number = size() > 1 || action === "purge" ? await countBulk(action, selector()) : 1;
    if (number > 1 || action === "purge") {
      if (!(await askDelete(number, action === "purge"))) return;
    }
    await act(action);
  } catch (error) {
    notifyError(error);
  }
}

/** What the keys e, p, t and # do while sessions are selected. @type {Record<string, () => unknown>} */
export const bulkActs = {
  archive: () => act(scope.value === "archived" ? "unarchive" : "archive"),
  pin: () => {
    const picked = rows.value.filter((each) => isSelected(each.id));
    return act(picked.length && picked.every((each) => each.pinned) ? "unpin" : "pin");
  },
  tag: async () => {
    const answer = await askTags(null);
    if (answer?.add.length) await act("add_tags", answer.add);
  },
  delete: () => remove(scope.value === "trash" ? "purge" : "delete"),
  restore: () => act("restore"),
};

/** @param {{ icon: string, text: string, run: () => unknown, isDanger?: boolean }} props */
function BulkButton({ icon, text, run, isDanger }) {
  return html`<button class=${isDanger ? "quiet danger" : "quiet"} onClick=${run}>${h(Icon, { name: icon })}${text}</button>`;
}

export function BulkBar() {
  if (!isPicking.value) return null;
  const isTrash = scope.value === "trash";
  const isAll = isEverything.value || size() === total.value;
  return html`<div class="bulk" role="group" aria-label=${words.selection}>
    <div class="bulk-line">
      <b>${words.selectedCount(size())}</b>
      ${!isAll && total.value !== null && html`<button class="quiet" onClick=${() => (isEverything.value = true)}>${words.allThatMatch(total.value)}</button>`}
      <button class="icon-button" title=${words.endSelection} aria-label=${words.endSelection} onClick=${endSelection}>${h(Icon, { name: "close" })}</button>
    </div>
    <div class="bulk-line">
      ${isTrash
        ? h(BulkButton, { icon: "undo", text: words.restore, run: bulkActs.restore })
        : html`${h(BulkButton, { icon: "archive", text: scope.value === "archived" ? words.unarchive : words.archive, run: bulkActs.archive })}
          ${h(BulkButton, { icon: "pin", text: words.pin, run: bulkActs.pin })}
          ${h(BulkButton, { icon: "tag", text: words.tagDots, run: bulkActs.tag })}`}
      ${h(BulkButton, { icon: "trash", text: isTrash ? words.purge : words.delete, run: bulkActs.delete, isDanger: true })}
    </div>
  </div>`;
}
