// Applies the theme and the reading width, and keeps them. theme.js reads them at start.
import { signal } from "@preact/signals";
import { readStored, writeStored } from "../storage.js";

export const theme = signal(String(readStored("theme", "system")));
export const width = signal(String(readStored("width", "normal")));

/** @param {string} chosen system, light or dark */
export function applyTheme(chosen) {
  theme.value = chosen;
  document.documentElement.dataset.theme = chosen;
  writeStored("theme", chosen);
}

/** @param {string} chosen normal or wide */
export function applyWidth(chosen) {
  width.value = chosen;
  document.documentElement.dataset.width = chosen;
  writeStored("width", chosen);
}
