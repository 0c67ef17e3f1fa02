// /usage: messages, tokens and sessions by day and model, as a chart, a table and a file.
import { useEffect, useMemo, useState } from "preact/hooks";
import { formatNumber, formatPeriod } from "../dates.js";
import { downloadText } from "../download.js";
import { h, html } from "../html.js";
import { route, setQuery } from "../router.js";
import { UsageChart } from "./usage_chart.js";
import { RANGES, readUsage, seriesOf, usageCsv } from "./usage_data.js";
import { words } from "../words.js";

/** @typedef {import("./usage_data.js").Usage} Usage */

export function UsageView() {
  const { query } = route.value;
  const range = /** @type {keyof typeof RANGES} */ (query.get("range") ?? "") in RANGES ? /** @type {any} */ (query.get("range")) : "month";
  const measure = /** @type {any} */ (["tokens", "sessions"].find((each) => each === query.get("show")) ?? "messages");
  const [usage, setUsage] = useState(/** @type {Usage | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [tries, setTries] = useState(0);

  useEffect(() => {
    const controller = new AbortController();
    setError(null);
    readUsage(range, controller.signal).then(setUsage, (failure) => controller.signal.aborted || setError(failure));
    return () => controller.abort();
  }, [range, tries]);
  useEffect(() => void (document.title = `${words.usagePage.usage} · ${words.appName}`), []);

  return html`<div class="page wide-page"><h1>${words.usagePage.usage}</h1>
    <div class="scopes">
      ${Object.entries(words.usagePage.ranges).map(([name, label]) => html`<button key=${name} class="chip"
        aria-pressed=${String(range === name)} onClick=${() => setQuery({ range: name })}>${label}</button>`)}
      <span class="filler"></span>
      <select class="plain-select" aria-label=${words.usagePage.shown} value=${measure}
        onChange=${(/** @type {any} */ event) => setQuery({ show: event.target.value })}>
        ${Object.entries(words.usagePage.measures).map(([name, label]) => html`<option key=${name} value=${name}>${label}</option>`)}
      </select>
    </div>
    ${error && html`<p class="danger" role="alert">${words.failed(error)}
      <button class="quiet" onClick=${() => setTries(tries + 1)}>${words.tryNow}</button></p>`}
    ${usage && h(Numbers, { usage, measure, range })}
  </div>`;
}

/** @param {{ usage: Usage, measure: any, range: string }} props */
function Numbers({ usage, measure, range }) {
  const labels = useMemo(() => usage.periods.map((each) => formatPeriod(each.label)), [usage]);
  const series = useMemo(() => seriesOf(usage, measure, words.usagePage.otherModels), [usage, measure]);
  const { total } = usage;
  return html`<div class="usage">
    ${!usage.complete && html`<p class="page-note" role="status">${words.usagePage.stillCounting}</p>`}
    <dl class="totals">
      ${[[words.usagePage.measures.messages, total.messages], [words.usagePage.inputTokens, total.input_tokens],
        [words.usagePage.outputTokens, total.output_tokens], [words.usagePage.newSessions, total.sessions]].map(([name, number]) =>
        html`<div key=${name}><dt>${name}</dt><dd class="num">${formatNumber(number)}</dd></div>`)}
    </dl>
    ${h(UsageChart, { labels, series })}
    ${usage.models.length > 0 && h(Table, {
      caption: words.usagePage.byModel, head: words.usagePage.model, hasSessions: false,
      rows: usage.models.map((name) => ({ ...total.split.find((/** @type {any} */ each) => each.model === name), label: name })),
    })}
    ${h(Table, { caption: words.usagePage.byPeriod, head: words.usagePage.period, hasSessions: true,
      rows: usage.periods.map((each, index) => ({ ...each, label: labels[index] })).reverse() })}
    <p><button class="quiet bordered" onClick=${() => downloadText(`usage-${range}.csv`, "text/csv", usageCsv(usage))}>
      ${words.usagePage.downloadCsv}</button></p>
  </div>`;
}

/** @param {{ caption: string, head: string, rows: any[], hasSessions: boolean }} props */
function Table({ caption, head, rows, hasSessions }) {
  return html`<div class="table-box" tabindex="0" role="region" aria-label=${caption}><table class="numbers">
    <caption>${caption}</caption>
    <thead><tr><th scope="col">${head}</th><th scope="col">${words.usagePage.measures.messages}</th><th scope="col">${words.usagePage.inputTokens}</th>
      <th scope="col">${words.usagePage.outputTokens}</th>${hasSessions && html`<th scope="col">${words.usagePage.newSessions}</th>`}</tr></thead>
    <tbody>${rows.map((each) => html`<tr key=${each.label}><th scope="row"><bdi>${each.label}</bdi></th>
      <td>${formatNumber(each.messages)}</td><td>${formatNumber(each.input_tokens)}</td><td>${formatNumber(each.output_tokens)}</td>
      ${hasSessions && html`<td>${formatNumber(each.sessions)}</td>`}</tr>`)}</tbody>
  </table></div>`;
}
