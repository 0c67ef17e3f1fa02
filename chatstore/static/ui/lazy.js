// Loads a component when it is first shown. After an upgrade its file may be gone.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { h, html } from "./html.js";
import { notify } from "./notices.js";
import { words } from "./words.js";

/** @typedef {() => Promise<import("preact").ComponentType<any>>} Load */
/** @type {Map<Load, import("@preact/signals").Signal<any>>} */
const views = new Map();
/** @type {Map<string, Promise<unknown>>} */
const styles = new Map();

/** Load the view unless that has begun; a failure leaves an Error in the signal.
 * @param {Load} load */
function begin(load) {
  const view = signal(/** @type {any} */ (null));
  views.set(load, view);
  load().then(
    (found) => (view.value = found),
    (error) => (view.value = error),
  );
  return view;
}

/** Load styles once, and wait until they apply. @param {string} name of the file, from this folder */
export function loadStyles(name) {
  const loading = styles.get(name) ?? new Promise((resolve, reject) => {
    const { href } = new URL(name, import.meta.url);
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
    link.onload = resolve;
    link.onerror = () => {
      styles.delete(name);
      link.remove();
      reject(new Error(name));
    };
    document.head.append(link);
  });
  styles.set(name, loading);
  return loading;
}

/** Call `react` when the browser has nothing better to do. @param {() => void} react */
export function whenIdle(react) {
  // Safari has no idle callbacks.
  if ("requestIdleCallback" in globalThis) requestIdleCallback(react);
  else setTimeout(react, 200);
}

/** Load what the reader may want next; nothing waits for it. @param {Load[]} loads */
export function loadSoon(...loads) {
  for (const load of loads) if (!views.has(load)) begin(load);
}

/**
 * A function whose module is loaded by the first call.
 * @template {(...args: any[]) => unknown} F
 * @param {() => Promise<F>} load
 */
export const late = (load) => async (/** @type {Parameters<F>} */ ...args) => {
  const found = await load().catch(() => null);
  if (found) await found(...args);
  else notify({ text: words.newFiles });
};

/** Stands for a dialog that is not loaded yet, so that what the reader types is no key of the page. */
export const Opening = () => html`<dialog open class="visually-hidden" aria-busy="true" aria-label=${words.loading}></dialog>`;

/** @param {{ load: Load, props?: Record<string, any>, waiting?: any }} props `waiting` is shown meanwhile */
export function Lazy({ load, props = {}, waiting }) {
  const view = views.get(load) ?? begin(load);
  const found = view.value;
  useEffect(() => {
    // The next attempt asks again, because the network may be back.
    if (found instanceof Error) return () => void views.delete(load);
  }, [found]);
  if (found === null) return waiting ?? html`<p class="visually-hidden">${words.loading}</p>`;
  if (!(found instanceof Error)) return h(found, props);
  return html`<div class="page" role="alert"><p>${words.newFiles}</p>
    <button class="primary" onClick=${() => location.reload()}>${words.reload}</button></div>`;
}
