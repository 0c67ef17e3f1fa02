// The parts of the window: list, text, composer, details, notice. F6 goes from one to the next.
import { signal } from "@preact/signals";

const narrow = matchMedia("(max-width: 700px)");
/** Whether the window shows one pane at a time: the list, or the session. */
export const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => (isNarrow.value = narrow.matches));

const REGIONS = [
  [".side", ".side [tabindex='0'], .side a, .side button"],
  ["#transcript", "#transcript"],
  ["form.composer", "#composer"],
  ["#details", "#details"],
  [".toast", ".toast button"],
];

/** Put the focus into the next region that is shown. */
export function focusNextRegion() {
  const shown = REGIONS.filter(([region]) => document.querySelector(region)?.checkVisibility());
  const at = shown.findIndex(([region]) => document.querySelector(region)?.contains(document.activeElement));
  for (let step = 1; step <= shown.length; step++) {
    const [region, first] = shown[(at + step) % shown.length];
    const target = /** @type {HTMLElement | null} */ (document.querySelector(first));
    target?.focus();
    if (document.querySelector(region)?.contains(document.activeElement)) return;
  }
}

/** Give the view that has come the focus, if it went with what had it. */
export function keepFocus() {
  if (document.activeElement !== document.body) return;
  const main = document.getElementById("main");
  const target = main?.checkVisibility() ? main : document.querySelector(".list a[tabindex='0']");
  /** @type {HTMLElement | null} */ (target)?.focus({ preventScroll: true });
}
