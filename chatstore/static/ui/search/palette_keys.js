// Whether the palette is open, and the keys that open it: they work before it is loaded.
import { signal } from "@preact/signals";
import { addKeys } from "../keys.js";
import { go } from "../router.js";
import { words } from "../words.js";

export const isPaletteOpen = signal(false);

/** Open the palette; the focus goes back to where it was when it closes. */
export function openPalette() {
  if (!document.querySelector("dialog[open]")) isPaletteOpen.value = true;
}

export const addPaletteKeys = () => addKeys([
  { key: "ctrl+k", meaning: words.help.keySearch, run: () => (isPaletteOpen.value ? (isPaletteOpen.value = false) : openPalette()), isGlobal: true },
  { key: "/", meaning: words.help.keySearch, run: openPalette },
  { key: "u", meaning: words.palette.places["/usage"], run: () => go("/usage") },
]);
