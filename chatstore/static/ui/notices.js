// What the UI says: one toast with an act to undo, one line for screen readers.
import { signal } from "@preact/signals";
import { html } from "./html.js";
import { keepFocus } from "./regions.js";
import { words } from "./words.js";

const SHOWN_MS = 8_000;

/** @typedef {{ text: string, undo?: () => any, isError?: boolean }} Notice */
const notice = signal(/** @type {Notice | null} */ (null));
const spoken = signal("");
let timer = 0;

/** Show a notice for 8 s, with a button that undoes the act. @param {Notice} shown */
export function notify(shown) {
  clearTimeout(timer);
  notice.value = shown;
  timer = setTimeout(() => (notice.value = null), SHOWN_MS);
}

/** Show why something failed. @param {any} error */
export const notifyError = (error) => notify({ text: words.failed(error), isError: true });

/** Say one sentence to screen readers. @param {string} text */
export function announce(text) {
  // The same text twice would not be spoken, so a no-break space tells them apart.
  spoken.value = spoken.value === text ? `${text}\u00a0` : text;
}

/** Undo the act of the notice that is shown, if there is one. */
export function undoLast() {
  const undo = notice.value?.undo;
  notice.value = null;
  // The button with the focus goes with the notice.
  requestAnimationFrame(keepFocus);
  undo?.();
}

export function Notices() {
  const shown = notice.value;
  return html`<div class="notices">
    <p class="visually-hidden" role="status" aria-live="polite">${spoken}</p>
    ${shown && html`<div class="toast" role=${shown.isError ? "alert" : "status"}>
      <span>${shown.text}</span>
      ${shown.undo && html`<button class="toast-undo" onClick=${undoLast}>${words.undo}</button>`}
    </div>`}
  </div>`;
}
