// The keys of an open session: from message to message, from question to question.
import { get } from "../api.js";
import { notifyError } from "../notices.js";
import { words } from "../words.js";

/** @typedef {import("./transcript.js").Transcript} Transcript */

/** The message with the focus, else the first one that is seen. @param {Transcript} transcript */
export function currentSeq(transcript) {
  const focused = document.activeElement?.closest("article[data-seq]");
  const article = focused ?? transcript.anchor?.article;
  return article instanceof HTMLElement ? Number(article.dataset.seq) : null;
}

/** Show a message and give it the focus. @param {Transcript} transcript @param {number} seq @param {boolean} [isMarked] */
export async function focusMessage(transcript, seq, isMarked = false) {
  const article = await transcript.jump(seq, { isMarked });
  article?.focus({ preventScroll: true });
}

/** @param {Transcript} transcript @param {number} by */
function step(transcript, by) {
  const { path } = transcript.chunks;
  const seq = currentSeq(transcript);
  if (seq === null) return;
  const hasFocus = document.activeElement?.closest("article[data-seq]") != null;
  const position = path.positionOf(seq) + (hasFocus ? by : 0);
  if (position >= 0 && position < path.length) focusMessage(transcript, path.seqAt(position));
}

/** @param {Transcript} transcript @param {number} by */
async function stepToQuestion(transcript, by) {
  const { open } = transcript.props;
  const seq = currentSeq(transcript);
  if (seq === null) return;
  const range = by > 0 ? { after: seq, order: "asc" } : { before: seq, order: "desc" };
  const query = { path: transcript.chunks.path.headSeq, role: "user", fields: "seq", limit: 1, ...range };
  try {
    const { messages } = await get(`/sessions/${open.id}/messages`, query, { signal: open.signal });
    if (messages.length) await focusMessage(transcript, messages[0].seq);
  } catch (error) {
    if (!open.signal.aborted) notifyError(error);
  }
}

/** @param {() => Transcript | null} current @returns {import("../keys.js").Key[]} */
export function transcriptKeys(current) {
  /** @param {(transcript: Transcript) => unknown} run */
  const act = (run) => () => {
    const transcript = current();
    if (!transcript) return false;
    run(transcript);
  };
  const { end, nextMessage, previousMessage, nextQuestion, previousQuestion, first } = words.transcript.keys;
  return [
    { key: "j", meaning: nextMessage, run: act((shown) => step(shown, 1)) },
    { key: "k", meaning: previousMessage, run: act((shown) => step(shown, -1)) },
    { key: "]", meaning: nextQuestion, run: act((shown) => stepToQuestion(shown, 1)) },
    { key: "[", meaning: previousQuestion, run: act((shown) => stepToQuestion(shown, -1)) },
    { key: "Home", meaning: first, run: act((shown) => shown.chunks.path.length && shown.jump(shown.chunks.path.seqAt(0))) },
    { key: "End", meaning: end, run: act((shown) => shown.jumpToEnd()) },
  ];
}
