// /shared/<token>: reads a session by a link, without a login.
import { useEffect, useState } from "preact/hooks";
import { get, NoAnswer, Problem } from "../api.js";
import { formatDayTime } from "../dates.js";
import { h, html } from "../html.js";
import { Message } from "../message/message.js";
import { Notices } from "../notices.js";
import { words } from "../words.js";

const LIMIT = 50;

/** @typedef {Api["SharedPage"]} Shared */

/** @param {{ token: string }} props */
export function SharedView({ token }) {
  const [shared, setShared] = useState(/** @type {Shared | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [isReading, setReading] = useState(false);

  /** @param {Shared | null} before */
  async function read(before) {
    setReading(true);
    setError(null);
    try {
      const after = before?.messages.at(-1)?.seq ?? 0;
      const page = await get(`/shared/${encodeURIComponent(token)}`, { after, limit: LIMIT });
      setShared({ ...page, messages: [...(before?.messages ?? []), ...page.messages] });
    } catch (failure) {
      setError(failure);
    }
    setReading(false);
  }
  useEffect(() => void read(null), [token]);
  useEffect(() => {
    if (shared) document.title = `${shared.session.name || words.untitled} · ${words.appName}`;
  }, [shared?.session.name]);

  return html`<main class="shared" id="main">
    ${shared && html`<header><h1><bdi>${shared.session.name || words.untitled}</bdi></h1>
      <p class="small-print">${shared.session.llm_model_name} · ${words.messages(shared.session.message_count)} · ${formatDayTime(shared.session.created_at)}</p>
      <p class="small-print">${shared.live ? words.sharedPage.sharedLive : words.sharedPage.sharedStill}
        ${shared.expires_at && ` ${words.sharedPage.sharedUntil(formatDayTime(shared.expires_at))}`}</p>
    </header>`}
    ${shared && html`<div class="messages">${shared.messages.map((message) => h(Message, { key: message.seq, message, sessionId: null }))}</div>`}
    ${shared && !shared.messages.length && html`<p class="small-print">${words.sharedPage.sharedEmpty}</p>`}
    ${error && h(Failure, { error, retry: () => read(shared) })}
    ${shared?.has_more && !error && html`<p><button class="quiet bordered more-button" disabled=${isReading}
      onClick=${() => read(shared)}>${words.sharedPage.more}</button></p>`}
    ${!shared && !error && html`<p class="small-print" role="status">${words.sharedPage.loading}</p>`}
    ${h(Notices, {})}
  </main>`;
}

/** @param {{ error: any, retry: () => void }} props */
function Failure({ error, retry }) {
  if (error instanceof Problem && error.status === 404) {
    return html`<div class="void" role="alert"><h1>${words.sharedPage.linkEnded}</h1><p>${words.sharedPage.linkEndedMeaning}</p></div>`;
  }
  const text = error instanceof NoAnswer ? words.noConnection
    : error.status === 429 ? words.sharedPage.tooManyReads(error.retryAfterSeconds) : words.failed(error);
  return html`<p class="danger" role="alert">${text} <button class="quiet bordered" onClick=${retry}>${words.tryNow}</button></p>`;
}
