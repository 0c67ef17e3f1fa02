// Says in words whether the server answers, and whether the login still holds.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { awaySince, get, isLoggedOut } from "./api.js";
import { formatTime } from "./dates.js";
import { html } from "./html.js";
import { words } from "./words.js";

// Waking up and short gaps say nothing. The second try of the change feed comes earlier.
const GRACE_MS = 7_000;
const isLong = signal(false);

/** Ask the server now, because the reader wants to know. */
export const tryNow = () => get("/me").catch(() => null);

export function ConnectionBanner() {
  const since = awaySince.value;
  useEffect(() => {
    isLong.value = false;
    if (!since) return;
    const timer = setTimeout(() => (isLong.value = true), GRACE_MS);
    return () => clearTimeout(timer);
  }, [since]);
  if (isLoggedOut.value) {
    const next = encodeURIComponent(location.pathname + location.search + location.hash);
    return html`<div class="banner" role="status"><span>${words.loggedOut}</span>
      <a href=${`/login?next=${next}`}>${words.logIn}</a></div>`;
  }
  if (!since || !isLong.value) return null;
  return html`<div class="banner" role="status">
    <b>${words.noConnection}</b><span>${words.loadedAt(formatTime(since))}</span>
    <button class="quiet" onClick=${tryNow}>${words.tryNow}</button>
  </div>`;
}

/** The line at the foot of the list. */
export function ConnectionState() {
  const since = isLong.value ? awaySince.value : null;
  return html`<span class=${since ? "state is-away" : "state"}>
    ${since ? words.offlineSince(formatTime(since)) : words.upToDate}
  </span>`;
}
