// Starts the UI: puts the list, the view of the route and what floats side by side.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { startChanges } from "./changes.js";
import { ConnectionBanner } from "./connection.js";
import { classes, h, html } from "./html.js";
import { startKeys } from "./keys.js";
import { Lazy, loadStyles, Opening, whenIdle } from "./lazy.js";
import { Notices } from "./notices.js";
import { startOutbox } from "./compose/outbox.js";
import { addPaletteKeys, isPaletteOpen } from "./search/palette_keys.js";
import { route, startRouter } from "./router.js";
import { isEmptyStore } from "./list/empty_store.js";
import { isNarrow, keepFocus } from "./regions.js";
import { words } from "./words.js";

/** A session that a link leads to is read before the list and the palette are there. */
const loadList = () => import("./list/list.js").then((found) => found.List);
const loadHelp = () => styled(import("./pages/help.js")).then((found) => found.HelpDialog);
const loadPalette = () => styled(import("./search/palette.js")).then((found) => found.Palette);
const loadShared = () => styled(import("./pages/shared_view.js")).then((found) => found.SharedView);
const loadStart = () => import("./list/start_view.js").then((found) => found.StartView);
/** The views of the main pane. @type {Record<string, import("./lazy.js").Load | undefined>} */
const VIEWS = {
  missing: () => styled(import("./pages/missing_view.js")).then((found) => found.MissingView),
  session: () => import("./session/session_view.js").then((found) => found.SessionView),
  search: () => styled(import("./search/search_view.js")).then((found) => found.SearchView),
  settings: () => styled(import("./pages/settings_view.js")).then((found) => found.SettingsView),
  usage: () => styled(import("./pages/usage_view.js")).then((found) => found.UsageView),
};

/** A module with the styles of what is not shown at first. @template M @param {Promise<M>} module */
async function styled(module) {
  await Promise.all([loadStyles("search/overlays.css"), loadStyles("pages/pages.css")]);
  return module;
}

/** The main pane. The list is the navigation of every view but a shared session. */
function Main() {
  const { view, sessionId, seq } = route.value;
  const load = VIEWS[view];
  return load ? h(Lazy, { key: sessionId ?? view, load, props: { sessionId, seq } }) : h(Lazy, { load: loadStart });
}

/** Whether a phone shows the list: one pane at a time, each with an address. */
const isListFirst = () => ["home", "archived", "trash"].includes(route.value.view);

function App() {
  const { view, token, sessionId } = route.value;
  const isFirst = useRef(true);
  const [isIdle, setIdle] = useState(false);
  // What floats is loaded after what the reader waits for.
  useEffect(() => whenIdle(() => setIdle(true)), []);
  useEffect(() => {
    if (!isFirst.current) keepFocus();
    isFirst.current = false;
  }, [view, sessionId]);
  useEffect(() => {
    // The other views name the page themselves, before this effect of their parent runs.
    if (isListFirst() || view === "missing") document.title = words.appName;
  }, [view]);
  if (view === "shared" && token) return h(Lazy, { load: loadShared, props: { token } });
  return html`<div class=${classes("app", isListFirst() ? "shows-list" : "shows-main", isEmptyStore.value && "is-empty")}>
    <a class="skip" href="#main" onClick=${focusMain}>${words.skipToText}</a>
    ${h(Lazy, {
      load: loadList,
      props: { isMain: isNarrow.value && isListFirst() && !isEmptyStore.value },
      waiting: html`<nav class="side" aria-busy="true" aria-label=${words.list}></nav>`,
    })}
    <div class="pane">
      ${h(ConnectionBanner, {})}
      <main id="main" tabindex="-1">${h(Main, {})}</main>
    </div>
    ${(isIdle || isPaletteOpen.value) && h(Lazy, { load: loadPalette, waiting: isPaletteOpen.value && h(Opening, {}) })}
    ${isIdle && h(Lazy, { load: loadHelp, waiting: false })} ${h(Notices, {})}
  </div>`;
}

/** @param {Event} event */
function focusMain(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

startRouter();
startKeys();
addPaletteKeys();
render(h(App, {}), /** @type {Element} */ (document.getElementById("app")));
if (route.value.view !== "shared") {
  startOutbox();
  startChanges();
}
