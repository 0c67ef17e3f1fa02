// Shows a message that is not on the branch of the session, with the branch that has it.
import { patch, Problem } from "../api.js";
import { html } from "../html.js";
import { headBelow } from "../message/branches.js";
import { notify, notifyError } from "../notices.js";
import { words } from "../words.js";

/** @typedef {import("./open_session.js").OpenSession} OpenSession */

/** Take the branch that has the message, the session's own if it has it.
 * Returns whether there is one. @param {OpenSession} open @param {number} seq */
export async function showBranchWith(open, seq) {
  try {
    if (open.branch.peek()) await open.showBranch(null);
    if (open.chunks.path.positionOf(seq) < 0) await open.showBranch(await headBelow(open.id, seq));
  } catch (error) {
    if (open.signal.aborted) return false;
    await open.showBranch(null);
    if (!(error instanceof Problem)) notifyError(error);
  }
  if (open.chunks.path.positionOf(seq) >= 0) return true;
  notify({ text: words.transcript.noMessage(seq), isError: true });
  return false;
}

/** In the place of the composer, because what is written follows the session's own branch.
 * @param {{ open: OpenSession }} props */
export function OtherVersion({ open }) {
  const keep = async () => {
    try {
      await patch(`/sessions/${open.id}`, { head_seq: open.branch.peek() });
      await open.showBranch(null);
    } catch (error) {
      notifyError(error);
    }
  };
  return html`<div class="banner other-version" role="status"><span>${words.transcript.otherVersion}</span>
    <button class="quiet bordered" onClick=${keep}>${words.transcript.useVersion}</button>
    <button class="quiet bordered" onClick=${() => open.showBranch(null)}>${words.transcript.ownVersion}</button></div>`;
}
