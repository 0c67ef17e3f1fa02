// Fifty messages of the transcript, with the rules between days and before what is new.
import { Fragment } from "preact";
import { useMemo } from "preact/hooks";
import { daysAgo, formatDayTime, formatLongDay, formatTime } from "../dates.js";
import { h, html } from "../html.js";
import { Message } from "../message/message.js";
import { words } from "../words.js";

/** @typedef {import("./chunks.js").Message} Shown */

/**
 * @param {object} props
 * @param {number} props.k
 * @param {Shown[]} props.messages
 * @param {{ from: number, to: number } | null} props.part which of the messages are shown, or null for all
 * @param {Shown | null | undefined} props.before the message before, undefined if it is not loaded
 * @param {{ seq: number, since: string } | null} props.unread
 * @param {number | null} props.hit the message with a ring around it
 * @param {string} props.sessionId
 * @param {(message?: any) => void} props.onChanged
 */
export function Section({ k, messages, part, before, unread, hit, sessionId, onChanged }) {
  // The same nodes mean that Preact compares nothing when other messages come.
  return useMemo(
    () => html`<section class="messages" data-chunk=${k}>
      ${messages.map((message, index) => (!part || (index >= part.from && index < part.to)) && h(Fragment, { key: message.seq }, [
        isNewDay(message, index ? messages[index - 1] : before) && html`<p class="rule">${formatLongDay(instantOf(message))}</p>`,
        message.seq === unread?.seq && html`<p class="rule is-new" role="separator">${words.transcript.newSince(sinceText(unread.since))}</p>`,
        h(Message, { message, sessionId, isHit: message.seq === hit, onChanged }),
      ]))}
    </section>`,
    [messages, part, before && dayOf(before), unread?.seq, hit, sessionId],
  );
}

/** When it was said: history that was carried over has its own instant. @param {Shown} message */
export const instantOf = (message) => message.created_at ?? message.timestamp;

/** @param {Shown} message */
const dayOf = (message) => daysAgo(instantOf(message));

/** @param {Shown} message @param {Shown | null | undefined} before */
const isNewDay = (message, before) => before !== undefined && (before === null || dayOf(message) !== dayOf(before));

/** @param {string} instant */
const sinceText = (instant) => (daysAgo(instant) === 0 ? formatTime(instant) : formatDayTime(instant));
