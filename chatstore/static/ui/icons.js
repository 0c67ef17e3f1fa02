// Line icons of 16 × 16, drawn for this UI.
import { html } from "./html.js";

/** @type {Record<string, string[]>} */
const PATHS = {
  search: ["M7 12a5 5 0 1 0 0-10 5 5 0 0 0 0 10Z", "M10.8 10.8l3 3"],
  plus: ["M8 3v10M3 8h10"],
  pin: ["M6 2.5h4l-.4 4 2.2 2.2v1H4.2v-1l2.2-2.2-.4-4Z", "M8 9.7V14"],
  archive: ["M2.5 3.5h11v3h-11z", "M3.5 6.5v6h9v-6M6.5 9h3"],
  trash: ["M3 4.5h10M6 4.5v-2h4v2M4.2 4.5l.6 9h6.4l.6-9M6.8 7v4M9.2 7v4"],
  tag: ["M2.5 2.5h5l6 6-5 5-6-6v-5Z", "M5.3 5.3h.01"],
  more: ["M3.5 8.7a.7.7 0 1 0 0-1.4.7.7 0 0 0 0 1.4ZM8 8.7a.7.7 0 1 0 0-1.4.7.7 0 0 0 0 1.4ZM12.5 8.7a.7.7 0 1 0 0-1.4.7.7 0 0 0 0 1.4Z"],
  panel: ["M2.5 3h11v10h-11zM10 3v10"],
  copy: ["M6 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1Z", "M3 10.5v-7a1 1 0 0 1 1-1h6"],
  link: ["M6.6 9.4a2.6 2.6 0 0 0 3.8.2l2-2a2.6 2.6 0 0 0-3.7-3.7l-.9.9", "M9.4 6.6a2.6 2.6 0 0 0-3.8-.2l-2 2a2.6 2.6 0 0 0 3.7 3.7l.9-.9"],
  down: ["m4.5 6.5 3.5 3.5 3.5-3.5"],
  right: ["m6 4.5 3.5 3.5L6 11.5"],
  left: ["m10 4.5-3.5 3.5 3.5 3.5"],
  arrowUp: ["M8 13V3M4 7l4-4 4 4"],
  arrowDown: ["M8 3v10M4 9l4 4 4-4"],
  close: ["m4 4 8 8M12 4l-8 8"],
  check: ["m3.5 8.5 3 3 6-7"],
  wrap: ["M3 4.5h10M3 8h8a2 2 0 0 1 0 4H8m0 0 1.4-1.4M8 12l1.4 1.4M3 12h2"],
  chart: ["M3 13V8M8 13V3M13 13V6"],
  info: ["M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Z", "M8 7.5V11M8 5.2h.01"],
  settings: ["M3 5h6M12 5h1M3 11h1M7 11h6", "M10.5 6.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM5.5 12.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Z"],
  enter: ["M13 4v4a2 2 0 0 1-2 2H3m0 0 3-3m-3 3 3 3"],
  edit: ["m3 13 .6-3L10.8 2.8l2.4 2.4L6 12.4 3 13Z"],
  thumbUp: ["M5.5 7 8 2.5c1 0 1.6.7 1.4 1.7L9 6.5h3.2c.8 0 1.4.8 1.2 1.6l-1 4c-.1.6-.6.9-1.2.9H5.5Z", "M5.5 7h-3v6h3"],
  thumbDown: ["M5.5 9 8 13.5c1 0 1.6-.7 1.4-1.7L9 9.5h3.2c.8 0 1.4-.8 1.2-1.6l-1-4c-.1-.6-.6-.9-1.2-.9H5.5Z", "M5.5 9h-3V3h3"],
  again: ["M13 3v3.5H9.5", "M12.6 6.5A5 5 0 1 0 13 9"],
  clock: ["M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Z", "M8 5v3l2 1.5"],
  undo: ["M5.5 3 2.5 6l3 3", "M2.5 6h7a3.5 3.5 0 0 1 0 7H6"],
  filter: ["M2.5 4h11M4.5 8h7M6.5 12h3"],
  branch: ["M4.5 5v6M4.5 5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM4.5 14a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM11.5 6a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM11.5 6c0 3-7 2-7 5"],
};

/** @param {{ name: string, size?: number }} props a name of PATHS */
export function Icon({ name, size = 16 }) {
  return html`<svg width=${size} height=${size} viewBox="0 0 16 16" fill="none" stroke="currentColor"
    stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
    <path d=${PATHS[name].join(" ")} />
  </svg>`;
}
