// /settings: how this browser shows things, its login, and the owner's API keys.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { del, get } from "../api.js";
import { applyTheme, applyWidth, theme, width } from "./appearance.js";
import { ApiKeys } from "./api_keys.js";
import { h, html } from "../html.js";
import { notifyError } from "../notices.js";
import { readStored, writeStored } from "../storage.js";
import { words } from "../words.js";

const hasKeys = signal(readStored("keys", true) !== false);
const enter = signal(readStored("enter", "adds"));

/** @typedef {Api["Me"]} Me */

export function SettingsView() {
  const [me, setMe] = useState(/** @type {Me | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    document.title = `${words.settingsPage.settings} · ${words.appName}`;
    get("/me").then(setMe, setError);
  }, []);
  return html`<div class="page settings"><h1>${words.settingsPage.settings}</h1>
    ${h(PlainHttpNote, {})}
    ${h(Choice, { legend: words.settingsPage.theme, name: "theme", options: words.settingsPage.themes, value: theme.value, choose: applyTheme })}
    ${h(Choice, { legend: words.settingsPage.readingWidth, name: "width", options: words.settingsPage.widths, value: width.value, choose: applyWidth })}
    ${h(Choice, { legend: words.settingsPage.enterKey, name: "enter", options: words.settingsPage.enterMeanings, value: enter.value,
      choose: (value) => { enter.value = value; writeStored("enter", value); } })}
    <fieldset><legend>${words.settingsPage.singleKeys}</legend>
      <label><input type="checkbox" checked=${hasKeys.value} onChange=${(/** @type {any} */ event) => {
        hasKeys.value = event.target.checked;
        writeStored("keys", event.target.checked);
      }} /> ${words.settingsPage.singleKeysOn}</label>
      <p class="small-print">${words.settingsPage.singleKeysHint}</p>
    </fieldset>
    ${error && html`<p class="danger" role="alert">${words.failed(error)}</p>`}
    ${me && h(Login, { me })}
    ${me?.scopes.includes("admin") && h(ApiKeys, { owner: me.owner })}
    ${me && html`<p class="small-print">chatstore ${me.server_version} · <a href="/docs">${words.settingsPage.apiDocs}</a></p>`}
  </div>`;
}

/** Whether what is sent can be read on the way. The own machine has no way. */
const isPlainHttp = () =>
  location.protocol === "http:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);

function PlainHttpNote() {
  return isPlainHttp() ? html`<p class="page-note"><b>${words.settingsPage.plainHttp}</b> ${words.settingsPage.plainHttpMeaning}</p>` : null;
}

/** @param {{ legend: string, name: string, options: Record<string, string>, value: string, choose: (value: string) => void }} props */
function Choice({ legend, name, options, value, choose }) {
  return html`<fieldset><legend>${legend}</legend>
    ${Object.entries(options).map(([each, label]) => html`<label key=${each}>
      <input type="radio" name=${name} value=${each} checked=${value === each} onChange=${() => choose(each)} /> ${label}</label>`)}
  </fieldset>`;
}

/** @param {{ me: Me }} props */
function Login({ me }) {
  // The page says where to log out, if there are logins.
  const logOutPath = document.getElementById("app")?.dataset.logout;
  const endAll = async () => {
    if (!confirm(words.settingsPage.endLoginsQuestion)) return;
    await del("/me/logins").then(() => location.assign("/login"), notifyError);
  };
  return html`<section aria-labelledby="login-head"><h2 id="login-head">${words.settingsPage.login}</h2>
    <p>${words.settingsPage.loggedInAs} <b><bdi>${me.owner}</bdi></b> (${me.scopes.join(", ")})</p>
    ${logOutPath ? html`<form method="post" action=${logOutPath} class="inline-row">
      <button class="quiet bordered">${words.settingsPage.logOut}</button>
      ${me.scopes.includes("write") && html`<button type="button" class="quiet bordered danger" onClick=${endAll}>${words.settingsPage.endLogins}</button>`}
    </form><p class="small-print">${words.settingsPage.logOutHint}</p>` : html`<p class="small-print">${words.settingsPage.noLogins}</p>`}
  </section>`;
}
