// Draws amounts by period as stacked bars, with uPlot, which only this file loads.
import { useEffect, useRef, useState } from "preact/hooks";
import { theme } from "./appearance.js";
import { formatNumber } from "../dates.js";
import { html } from "../html.js";
import { loadStyles } from "../lazy.js";

const HEIGHT = 220;
const COLOURS = ["--accent", "--c-num", "--c-str", "--c-key", "--c-type", "--c-com"];

/** @typedef {{ name: string, amounts: number[] }} Series */

/** Each series on top of those before it, the highest first, so that it is drawn behind.
 * @param {Series[]} series */
function stack(series) {
  const sums = new Array(series[0]?.amounts.length ?? 0).fill(0);
  return series.map((each) => each.amounts.map((amount, index) => (sums[index] += amount))).reverse();
}

/** @param {any} Plot @param {HTMLElement} place @param {string[]} labels @param {Series[]} series */
function draw(Plot, place, labels, series) {
  // A variable holds the colours of both themes, so an element resolves it.
  const colour = (/** @type {string} */ name) => {
    place.style.color = `var(${name})`;
    return getComputedStyle(place).color;
  };
  const axis = { stroke: colour("--ink3"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const bars = Plot.paths.bars({ size: [0.7, 48] });
  const colours = series.map((_, index) => colour(COLOURS[index % COLOURS.length])).reverse();
  return new Plot({
    width: place.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false, range: () => [-0.6, labels.length - 0.4] }, y: { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [0, Math.max(1, high * 1.05)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 64, incrs: [1, 2, 5, 7, 10, 15, 30],
        values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((each) => labels[each] ?? "") },
      { ...axis, size: 64, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9, 1e10],
        values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map(formatNumber) },
    ],
    series: [{}, ...colours.map((each) => ({ stroke: each, fill: each, width: 0, paths: bars, points: { show: false } }))],
  }, [labels.map((_, index) => index), ...stack(series)], place);
}

/** The picture of the numbers; the table beside it says the same to screen readers.
 * @param {{ labels: string[], series: Series[] }} props */
export function UsageChart({ labels, series }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [hasFailed, setFailed] = useState(false);
  useEffect(() => {
    let plot = /** @type {any} */ (null);
    let isGone = false;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    /** @param {any} Plot */
    function redraw(Plot) {
      plot?.destroy();
      plot = draw(Plot, /** @type {HTMLElement} */ (place.current), labels, series);
    }
    const resized = new ResizeObserver(() => plot?.setSize({ width: place.current?.clientWidth ?? 0, height: HEIGHT }));
    let react = () => {};
    Promise.all([import("uplot"), loadStyles("../vendor/uplot/uPlot.css")]).then(([{ default: Plot }]) => {
      if (isGone) return;
      redraw(Plot);
      react = () => redraw(Plot);
      dark.addEventListener("change", react);
      resized.observe(/** @type {HTMLElement} */ (place.current));
    }, () => setFailed(true));
    return () => {
      isGone = true;
      resized.disconnect();
      dark.removeEventListener("change", react);
      plot?.destroy();
    };
  }, [labels, series, theme.value]);
  if (hasFailed) return null;
  return html`<figure class="chart" aria-hidden="true">
    <div class="chart-place" ref=${place}></div>
    ${series.length > 1 && html`<figcaption>${series.map((each, index) =>
      html`<span key=${each.name} class=${`legend legend-${index % COLOURS.length}`}>${each.name}</span>`)}</figcaption>`}
  </figure>`;
}
