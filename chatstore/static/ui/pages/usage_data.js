// Reads what was used, and turns it into rows for the table, the chart and the CSV file.
import { get, Problem } from "../api.js";

/** @typedef {"messages" | "tokens" | "sessions"} Measure */
/** @typedef {{ models: string[], total: any, periods: any[], complete: boolean, by: string }} Usage */

/** Ranges by name: how many periods, and of which length. */
export const RANGES = { week: [7, "day"], month: [30, "day"], quarter: [90, "day"], year: [12, "month"] };
const MAX_MODELS = 6;

/** The first day of a range, as a date of the reader. @param {keyof typeof RANGES} range @param {Date} [now] */
export function firstDay(range, now = new Date()) {
  const [count, by] = RANGES[range];
  const [year, month, day] = [now.getFullYear(), now.getMonth(), now.getDate()];
  const first = by === "day" ? new Date(year, month, day - Number(count) + 1) : new Date(year, month - Number(count) + 1, 1);
  return [first.getFullYear(), first.getMonth() + 1, first.getDate()].map((each) => String(each).padStart(2, "0")).join("-");
}

/** Read the usage by period and model, in the reader's time zone if the server knows it.
 * @param {keyof typeof RANGES} range @param {AbortSignal} signal @returns {Promise<Usage>} */
export async function readUsage(range, signal) {
  const query = { from: firstDay(range), by: RANGES[range][1], split: "model" };
  const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const report = await get("/usage", { ...query, tz }, { signal }).catch((error) => {
    if (error instanceof Problem && error.status === 422) return get("/usage", query, { signal });
    throw error;
  });
  const models = (report.total.split ?? []).toSorted((/** @type {any} */ a, /** @type {any} */ b) => b.messages - a.messages);
  return { ...report, models: models.map((/** @type {any} */ each) => each.model) };
}

/** @param {any} counts @param {Measure} measure @returns {number} */
export const amountOf = (counts, measure) =>
  measure === "tokens" ? counts.input_tokens + counts.output_tokens : (counts[measure] ?? 0);

/** One series for each model, and one for those that are too many to tell apart.
 * Sessions have no model. @param {Usage} usage @param {Measure} measure @param {string} others */
export function seriesOf(usage, measure, others) {
  if (measure === "sessions") {
    return [{ name: "", amounts: usage.periods.map((each) => amountOf(each, measure)) }];
  }
  const shown = usage.models.slice(0, usage.models.length > MAX_MODELS ? MAX_MODELS - 1 : MAX_MODELS);
  const rest = usage.models.filter((each) => !shown.includes(each));
  const sum = (/** @type {string[]} */ names) => usage.periods.map((period) =>
    period.split.filter((/** @type {any} */ each) => names.includes(each.model))
      .reduce((/** @type {number} */ all, /** @type {any} */ each) => all + amountOf(each, measure), 0));
  const series = shown.map((each) => ({ name: each, amounts: sum([each]) }));
  return rest.length ? [...series, { name: others, amounts: sum(rest) }] : series;
}

/** Quote a cell; a text that a spreadsheet would run as a formula gets an apostrophe.
 * @param {string | number} cell */
function csvCell(cell) {
  const text = typeof cell === "string" && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** All numbers as CSV (RFC 4180): a line for each period, columns for each model.
 * @param {Usage} usage */
export function usageCsv(usage) {
  const kinds = ["messages", "input_tokens", "output_tokens"];
  const head = ["period", ...kinds, "sessions", ...usage.models.flatMap((each) => kinds.map((kind) => `${each} ${kind}`))];
  const lines = usage.periods.map((period) => {
    const parts = new Map(period.split.map((/** @type {any} */ each) => [each.model, each]));
    const byModel = usage.models.flatMap((each) => kinds.map((kind) => parts.get(each)?.[kind] ?? 0));
    return [period.label, ...kinds.map((kind) => period[kind]), period.sessions, ...byModel];
  });
  return [head, ...lines].map((line) => `${line.map(csvCell).join(",")}\r\n`).join("");
}
