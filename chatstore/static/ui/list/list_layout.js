// Where each row of the list stands: groups by the reader's days, and the part in view.
import { daysAgo, formatMonth } from "../dates.js";
import { words } from "../words.js";

export const ROW = 52;
export const HEADING = 34;

/** @typedef {import("./session_list.js").Session} Session */
/** @typedef {{ label: string, isPinned: boolean, start: number, count: number, top: number }} Group rows start … start + count − 1, heading at `top` */

/** The reader's midnight some days ago, or the first of a month, as the API writes instants.
 * @param {Date} now @param {number} days */
const midnight = (now, days) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).toISOString().slice(0, -1);

/**
 * Group the rows. Instants are texts of one form, so comparing texts compares instants,
 * and 100,000 rows need no dates.
 * @param {Session[]} rows @param {Date} now @param {boolean} isPlain one group without days, for the trash
 */
export function groupRows(rows, now, isPlain) {
  /** @type {Group[]} */
  const groups = [];
  let end = "";
  for (const [index, row] of rows.entries()) {
    const last = groups.at(-1);
    const isSame = last && (isPlain || (row.pinned ? last.isPinned : !last.isPinned && row.last_updated_at >= end));
    if (isSame) {
      last.count += 1;
      continue;
    }
    const top = last ? last.top + HEADING + last.count * ROW : 0;
    const [label, floor] = isPlain ? [words.trashHeading, ""] : row.pinned ? [words.pinned, ""] : labelOf(row.last_updated_at, now);
    end = floor;
    groups.push({ label, isPinned: row.pinned && !isPlain, start: index, count: 1, top });
  }
  return groups;
}

/** The group of an instant, and the instant where the group ends. @param {string} instant @param {Date} now */
function labelOf(instant, now) {
  const days = daysAgo(instant, now);
  if (days <= 0) return [words.today, midnight(now, 0)];
  if (days === 1) return [words.yesterday, midnight(now, 1)];
  if (days < 7) return [words.lastSevenDays, midnight(now, 6)];
  const date = new Date(instant);
  return [formatMonth(instant), new Date(date.getFullYear(), date.getMonth(), 1).toISOString().slice(0, -1)];
}

/** @param {Group[]} groups */
export const heightOf = (groups) => {
  const last = groups.at(-1);
  return last ? last.top + HEADING + last.count * ROW : 0;
};

/** The top of a row. @param {Group[]} groups @param {number} index */
export function topOf(groups, index) {
  const group = groups.findLast((each) => each.start <= index);
  return group ? group.top + HEADING + (index - group.start) * ROW : 0;
}

/** The row at or after a height. @param {Group[]} groups @param {number} height */
export function rowAt(groups, height) {
  const group = groups.findLast((each) => each.top <= height) ?? groups[0];
  if (!group) return 0;
  const within = Math.floor((height - group.top - HEADING) / ROW);
  return group.start + Math.min(Math.max(within, 0), group.count - 1);
}

/** The part of a group that lies between two heights, as row indexes; null outside.
 * @param {Group} group @param {number} from @param {number} to */
export function partOf(group, from, to) {
  const first = group.top + HEADING;
  if (group.top > to || first + group.count * ROW < from) return null;
  const start = Math.max(0, Math.floor((from - first) / ROW));
  const end = Math.min(group.count, Math.max(start, Math.ceil((to - first) / ROW)));
  return { start: group.start + Math.min(start, group.count), end: group.start + end };
}
