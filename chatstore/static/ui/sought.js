// The search hit that the reader opens, so that its message shows the words that were found.
import { signal } from "@preact/signals";

/** A hit of `GET /search`. */
export const soughtHit = signal(/** @type {any} */ (null));
