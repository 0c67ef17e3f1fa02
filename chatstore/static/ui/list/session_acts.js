// What a person does with sessions: each act at once, with a notice that undoes it.
import { signal } from "@preact/signals";
import { get, post, Problem, send, uuid4 } from "../api.js";
import { announce, notify, notifyError } from "../notices.js";
import { listPath, rowPath } from "./list_address.js";
import { go, route } from "../router.js";
import { dropRows, putRow, refresh } from "./session_list.js";
import { bulkDone, words } from "../words.js";

/** @typedef {import("./session_list.js").Session} Session */
/** @typedef {"archive"|"unarchive"|"pin"|"unpin"|"add_tags"|"remove_tags"|"delete"|"restore"|"purge"} Action */

const RENAME_TRIES = 3;
const OPPOSITE = /** @type {Record<string, Action>} */ ({
  archive: "unarchive", unarchive: "archive", pin: "unpin", unpin: "pin",
  add_tags: "remove_tags", remove_tags: "add_tags", delete: "restore", restore: "delete",
});

/** Whether a session is being created: a second press makes no second one. */
export const isCreating = signal(false);

/** Run an act. Returns whether it succeeded; says why not. @param {() => Promise<unknown>} act */
async function attempt(act) {
  try {
    await act();
    return true;
  } catch (error) {
    notifyError(error);
    return false;
  }
}

/** @param {string} id @param {Record<string, any>} body @param {string} [ifMatch] @returns {Promise<Session>} */
const change = async (id, body, ifMatch) => (await send("PATCH", `/sessions/${id}`, { body, ifMatch })).data;

/** Create a session and open it. @param {Record<string, any>} [body] */
export async function createSession(body = {}) {
  if (isCreating.value) return null;
  isCreating.value = true;
  /** @type {Session | null} */
  let created = null;
  await attempt(async () => {
    created = /** @type {Session} */ (await post("/sessions/", body, { key: uuid4() }));
    putRow(created);
    go(rowPath(created.id));
  });
  isCreating.value = false;
  return created;
}

/**
 * Rename a session. If it was renamed elsewhere since `session` was read, nothing
 * changes, the notice has both names, and the answer is false.
 * @param {Session} session @param {string | null} name
 */
export async function renameSession(session, name) {
  const wanted = name?.trim() || null;
  if (wanted === session.name) return true;
  let isRenamed = false;
  await attempt(async () => {
    for (let tries = 1; ; tries++) {
      const read = await send("GET", `/sessions/${session.id}`);
      if (read.data.name !== session.name) {
        putRow(read.data);
        notify({ text: words.renamedElsewhere(read.data.name ?? words.untitled, wanted ?? words.untitled), isError: true });
        return;
      }
      try {
        const renamed = await change(session.id, { name: wanted }, read.headers.get("ETag") ?? undefined);
        putRow(renamed);
        isRenamed = true;
        notify({ text: words.renamed(wanted ?? words.untitled), undo: () => renameSession(renamed, session.name) });
        return;
      } catch (error) {
        // A new message also makes a new revision, so the name is compared again.
        if (!(error instanceof Problem && error.status === 412 && tries < RENAME_TRIES)) throw error;
      }
    }
  });
  return isRenamed;
}

/** Change a session and offer to change it back. @param {Session} session @param {Record<string, boolean>} body
 * @param {Record<string, boolean>} back @param {string} text */
const changeWithUndo = (session, body, back, text) =>
  attempt(async () => {
    putRow(await change(session.id, body));
    notify({ text, undo: () => attempt(async () => putRow(await change(session.id, back))) });
  });

/** Pin a session, or unpin it if it is pinned. @param {Session} session */
export const pinSession = (session) =>
  changeWithUndo(session, { pinned: !session.pinned }, { pinned: session.pinned },
    session.pinned ? words.unpinned(1) : words.pinnedNow(1));

/** Archive a session, or take it out of the archive. @param {Session} session */
export const archiveSession = (session) =>
  changeWithUndo(session, { archived: !session.archived }, { archived: session.archived },
    session.archived ? words.unarchived(1) : words.archivedNow(1));

/** Add and remove tags, so that tags added elsewhere stay. @param {Session} session
 * @param {{ add?: string[], remove?: string[] }} tags */
export async function tagSession(session, { add = [], remove = [] }) {
  if (!add.length && !remove.length) return true;
  /** @param {string[]} added @param {string[]} removed */
  const retag = (added, removed) =>
    attempt(async () => {
      const ids = [session.id];
      if (removed.length) await post("/sessions/bulk", { action: "remove_tags", ids, tags: removed });
      if (added.length) await post("/sessions/bulk", { action: "add_tags", ids, tags: added });
      await refresh(ids);
    });
  const isDone = await retag(add, remove);
  if (isDone) notify({ text: words.tagged(1), undo: () => retag(remove, add) });
  return isDone;
}

/** Leave a session that is deleted. @param {string[]} ids */
function leave(ids) {
  if (route.value.sessionId && ids.includes(route.value.sessionId)) go(listPath(), { isReplaced: true });
}

/** Put a session into the trash. @param {Session} session */
export const deleteSession = (session) =>
  attempt(async () => {
    const wasOpen = route.value.sessionId === session.id;
    await send("DELETE", `/sessions/${session.id}`);
    dropRows([session.id]);
    leave([session.id]);
    notify({
      text: words.deleted(1),
      undo: () => attempt(async () => {
        putRow((await send("POST", `/sessions/${session.id}/restore`)).data);
        if (wasOpen) go(rowPath(session.id));
      }),
    });
  });

/** Take a session out of the trash. @param {Session} session */
export const restoreSession = (session) =>
  attempt(async () => {
    await send("POST", `/sessions/${session.id}/restore`);
    dropRows([session.id]);
    notify({ text: words.restored(1), undo: () => attempt(async () => {
      await send("DELETE", `/sessions/${session.id}`);
      await refresh([session.id]);
    }) });
  });

/** Delete a session of the trash for good. @param {Session} session */
export const purgeSession = (session) =>
  attempt(async () => {
    await send("DELETE", `/sessions/${session.id}`, { query: { purge: true } });
    dropRows([session.id]);
    notify({ text: words.purged(1) });
  });

/** How many sessions a bulk act would change. @param {Action} action @param {Record<string, any>} selector */
export const countBulk = async (action, selector) =>
  (await post("/sessions/bulk", { action, ...selector, dry_run: true })).changed;

/**
 * Act on many sessions; the undo touches only those that changed.
 * @param {Action} action @param {Record<string, any>} selector ids, filter, all or trash
 * @param {string[]} [tags]
 */
export const actOnMany = (action, selector, tags) =>
  attempt(async () => {
    const body = { action, ...selector, ...(tags && { tags }) };
    const { changed, changed_ids: ids } = await post("/sessions/bulk", body, { key: uuid4() });
    const text = bulkDone[action](changed);
    if (["delete", "purge", "restore"].includes(action)) leave(ids), dropRows(ids);
    else await refresh(ids);
    const back = OPPOSITE[action];
    const undo = () => attempt(async () => {
      await post("/sessions/bulk", { action: back, ids, ...(tags && { tags }) }, { key: uuid4() });
      await refresh(ids);
    });
    notify({ text, undo: back && ids.length ? undo : undefined });
    announce(text);
  });
