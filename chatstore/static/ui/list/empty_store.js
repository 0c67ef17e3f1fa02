// Whether there is nothing to list, filter or choose from. The page asks before the list is loaded.
import { signal } from "@preact/signals";

export const isEmptyStore = signal(false);
