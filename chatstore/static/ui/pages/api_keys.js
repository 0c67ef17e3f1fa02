// The owner's API keys: lists, issues and revokes them, for callers with scope admin.
import { useEffect, useState } from "preact/hooks";
import { del, get, post } from "../api.js";
import { copyText } from "../copy.js";
import { formatDayTime } from "../dates.js";
import { h, html } from "../html.js";
import { isComposing } from "../keys.js";
import { notify, notifyError } from "../notices.js";
import { words } from "../words.js";

const LIMIT = 50;

/** @param {{ owner: string }} props */
export function ApiKeys({ owner }) {
  const [keys, setKeys] = useState(/** @type {any[]} */ ([]));
  const [hasMore, setMore] = useState(false);
  const [issued, setIssued] = useState(/** @type {any} */ (null));

  /** @param {any[]} before */
  async function read(before) {
    const page = await get("/keys", { owner, limit: LIMIT, after: before.at(-1)?.id });
    setKeys([...before, ...page.keys]);
    setMore(page.has_more);
  }
  useEffect(() => void read([]).catch(notifyError), [owner]);

  /** @param {any} event */
  async function issue(event) {
    event.preventDefault();
    const form = event.target;
    const { name, scope } = Object.fromEntries(new FormData(form));
    try {
      setIssued(await post("/keys", { owner, scope, name: String(name).trim() || null }));
      form.reset();
      await read([]);
    } catch (error) {
      notifyError(error);
    }
  }

  /** @param {any} key */
  async function revoke(key) {
    if (!confirm(words.settingsPage.revokeQuestion(key.name ?? key.id))) return;
    await del(`/keys/${key.id}`).then(() => read([])).catch(notifyError);
  }

  return html`<section aria-labelledby="keys-head"><h2 id="keys-head">${words.settingsPage.apiKeys}</h2>
    <form class="inline-row" onSubmit=${issue}>
      <input class="field" name="name" aria-label=${words.settingsPage.keyName} placeholder=${words.settingsPage.keyName} maxlength="255" autocomplete="off"
        onKeyDown=${(/** @type {KeyboardEvent} */ event) => isComposing(event) && event.key === "Enter" && event.preventDefault()} />
      <select class="field" name="scope" aria-label=${words.settingsPage.keyScope}>
        ${["read", "write", "admin"].map((each) => html`<option key=${each} selected=${each === "write"}>${each}</option>`)}
      </select>
      <button class="primary">${words.settingsPage.issueKey}</button>
    </form>
    ${issued && h(Issued, { issued, close: () => setIssued(null) })}
    <ul class="keys">${keys.map((each) => h(Key, { key: each.id, apiKey: each, revoke: () => revoke(each) }))}</ul>
    ${hasMore && html`<button class="quiet more-button" onClick=${() => read(keys).catch(notifyError)}>${words.palette.more}</button>`}
  </section>`;
}

/** The new key, which no later answer has. @param {{ issued: any, close: () => void }} props */
function Issued({ issued, close }) {
  const copy = async () => notify({ text: (await copyText(issued.key)) ? words.copied : words.copyFailed });
  return html`<div class="page-note" role="status"><p><b>${words.settingsPage.keyShownOnce}</b></p>
    <p><code class="secret">${issued.key}</code></p>
    <p class="inline-row"><button class="quiet bordered" onClick=${copy}>${words.settingsPage.copyKey}</button>
      <button class="quiet bordered" onClick=${close}>${words.close}</button></p></div>`;
}

/** @param {{ apiKey: any, revoke: () => void }} props */
function Key({ apiKey, revoke }) {
  const { id, name, scope, created_at, expires_at, revoked_at, last_used_at } = apiKey;
  const isOver = revoked_at !== null || (expires_at !== null && new Date(expires_at) < new Date());
  return html`<li class=${isOver ? "is-over" : ""}>
    <span><b><bdi>${name ?? words.settingsPage.unnamedKey}</bdi></b> <span class="tag">${scope}</span>
      <span class="small-print">${id} · ${words.settingsPage.keyFacts({
        created: formatDayTime(created_at),
        used: last_used_at && formatDayTime(last_used_at),
        expires: expires_at && formatDayTime(expires_at),
        revoked: revoked_at && formatDayTime(revoked_at),
      })}</span></span>
    ${!isOver && html`<button class="quiet danger" onClick=${revoke} aria-label=${words.settingsPage.revokeKey(name ?? id)}>${words.settingsPage.revoke}</button>`}
  </li>`;
}
