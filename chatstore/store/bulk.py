"""Changes to many sessions at once, all or none; no HTTP, no commit."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, or_, select, update

from chatstore.clock import utc_now
from chatstore.db import db, is_sqlite
from chatstore.enums import BulkAction
from chatstore.errors import Flaw, ValidationFailed
from chatstore.models import ChatSession, SessionFacet
from chatstore.settings import PREFIX
from chatstore.store import deletions, trash
from chatstore.store.answers import shows_in_few_answers
from chatstore.store.batches import in_batches
from chatstore.store.facets import (
    COLUMNS,
    add_tags,
    distinct_tags,
    remove_tags,
    tag_value,
)
from chatstore.store.filters import SessionFilters, find_rare_facet, select_matching
from chatstore.store.json_rows import disk_bytes
from chatstore.store.sessions import is_in_trash

_FACETS = "tags, document ids and metadata pairs"
# Rows per statement: well within the limits of both databases.
_CHUNK_ROWS = 500


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of one request, because all other writers wait for its transaction.

    A request changes at most `max_changed_tags` tags. It deletes or restores sessions
    with at most `max_changed_facets` tags and document ids. It rewrites at most
    `max_changed_bytes` of both. It reads `chunk_bytes` of tags at a time, as stored:
    PostgreSQL may compress them. It deletes messages within `deletion`, or only hides
    their sessions.
    """

    max_changed_tags: int = 10_000
    max_changed_facets: int = 50_000
    max_changed_bytes: int = 64 * 1024 * 1024
    chunk_bytes: int = 4 * 1024 * 1024
    deletion: deletions.Bounds = deletions.BOUNDS


BOUNDS = Bounds()


@dataclass(frozen=True)
class BulkChange:
    """An action on sessions; `tags`, in order, are for the actions on tags.

    With `has_trash`, deleted sessions go into the trash.
    """

    action: BulkAction
    tags: tuple[str, ...] = ()
    max_tags: int = 50
    has_trash: bool = False


@dataclass(frozen=True)
class WholeTrash:
    """Selects all sessions in the owner's trash."""


Selection = Collection[UUID] | SessionFilters | WholeTrash


@dataclass(frozen=True)
class BulkOutcome:
    """The number of selected sessions, and the ids of changed ones in their order.

    If `has_hidden`, `finish_deletions` must delete hidden sessions after the commit.
    """

    matched: int
    changed_ids: tuple[UUID, ...]
    has_hidden: bool = False

    @property
    def changed(self) -> int:
        """The number of changed sessions."""
        return len(self.changed_ids)


def change_sessions(
    change: BulkChange,
    *,
    owner_id: str,
    selected: Selection,
    max_sessions: int,
    is_dry_run: bool = False,
    bounds: Bounds = BOUNDS,
) -> BulkOutcome:
    """Change the owner's selected sessions, or only count them in a dry run.

    Ignores ids of sessions that the owner does not have; `last_updated_at` stays. Ids
    name sessions in the trash for RESTORE only, and there or elsewhere for PURGE.
    Raises ValidationFailed when the filters match more than `max_sessions`, when a
    session would get too many tags, or when the request would change more than `bounds`
    allow; ExternalIdTaken.
    """
    chats = _lock_sessions(change.action, owner_id, selected, max_sessions)
    if change.action in _TAG_ACTIONS:
        ids = _change_tags(change, chats, owner_id, bounds, is_dry_run=is_dry_run)
        return BulkOutcome(len(chats), tuple(ids))
    changes = [
        (chat, columns) for chat in chats if (columns := _columns_to_set(change, chat))
    ]
    changed_chats = [chat for chat, _ in changes]
    _check_bytes(changed_chats, bounds.max_changed_bytes)
    has_hidden = False
    if change.action in _DELETIONS:
        _check_facets(changed_chats, bounds.max_changed_facets)
    if change.action is BulkAction.RESTORE:
        _restore(changed_chats, owner_id, bounds, is_dry_run=is_dry_run)
    elif not is_dry_run:
        has_hidden = _write(change, changes, bounds)
    ids = [chat.id for chat in changed_chats]
    return BulkOutcome(len(chats), tuple(ids), has_hidden)


Columns = dict[str, Any]
Changes = list[tuple[Row[Any], Columns]]

_TAG_ACTIONS = (BulkAction.ADD_TAGS, BulkAction.REMOVE_TAGS)
_DELETIONS = (BulkAction.DELETE, BulkAction.PURGE)
# The lists of thousands of sessions can be gigabytes, so we read only their sizes.
_LOCKED_COLUMNS: tuple[Any, ...] = (
    ChatSession.id,
    ChatSession.pinned,
    ChatSession.archived_at,
    ChatSession.message_count,
    ChatSession.revision,
    disk_bytes(ChatSession.metadata_tags).label("tag_bytes"),
    disk_bytes(*(getattr(ChatSession, name) for name in COLUMNS.values())).label(
        "bytes"
    ),
)


def _lock_sessions(
    action: BulkAction, owner_id: str, selected: Selection, max_sessions: int
) -> list[Row[Any]]:
    # Lock rows in id order so that two bulk requests cannot deadlock.
    locking = select(*_LOCKED_COLUMNS).order_by(ChatSession.id).with_for_update()
    if action in _DELETIONS:
        locking = locking.add_columns(shows_in_few_answers().label("is_in_few_answers"))
    if isinstance(selected, SessionFilters):
        if action is BulkAction.RESTORE:  # filters know no session in the trash
            return []
        connection = db.session.connection()
        query = select_matching(
            locking,
            selected,
            owner_id=owner_id,
            rare_facet=find_rare_facet(connection, selected, owner_id=owner_id),
        )
        chats = list(db.session.execute(query.limit(max_sessions + 1)))
        if len(chats) > max_sessions:
            place = "/all" if selected == SessionFilters() else "/filter"
            raise _too_many(max_sessions, place)
        return _recheck_facets(chats, selected)
    if isinstance(selected, WholeTrash):
        query = locking.where(is_in_trash(owner_id))
        chats = list(db.session.execute(query.limit(max_sessions + 1)))
        if len(chats) > max_sessions:
            raise _too_many(max_sessions, "/trash")
        return chats
    chats = []
    for chunk in _chunks(sorted(set(selected))):
        chosen = locking.where(_is_named(action, owner_id), ChatSession.id.in_(chunk))
        chats += db.session.execute(chosen)
    return chats


def _is_named(action: BulkAction, owner_id: str) -> ColumnElement[bool]:
    """Return the condition that an id may name the session for this action."""
    if action is BulkAction.RESTORE:
        return is_in_trash(owner_id)
    is_listed = ChatSession.owner_id == owner_id
    if action is BulkAction.PURGE:
        return or_(is_listed, is_in_trash(owner_id))
    return is_listed


def _recheck_facets(chats: list[Row[Any]], filters: SessionFilters) -> list[Row[Any]]:
    # PostgreSQL rechecks a row after it waited for the row's lock, but not the facets,
    # which are in another table. A tag may have been removed meanwhile, so we recheck.
    if is_sqlite():
        return chats
    for kind, values in filters.facets():
        having: set[UUID] = set()
        for chunk in _chunks(chats):
            having.update(
                db.session.scalars(
                    select(SessionFacet.session_id).where(
                        SessionFacet.session_id.in_([chat.id for chat in chunk]),
                        SessionFacet.kind == kind,
                        SessionFacet.value.in_(values),
                    )
                )
            )
        chats = [chat for chat in chats if chat.id in having]
    return chats


def _check_bytes(chats: Sequence[Row[Any]], max_bytes: int) -> None:
    # SQLite rewrites the whole row at any change, so all its bytes count.
    if len(chats) > 1:
        _check_size(sum(chat.bytes for chat in chats), max_bytes)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        detail = (
            "The tags, document ids and metadata of these sessions exceed"
            f" {max_bytes} bytes. Select fewer sessions."
        )
        raise ValidationFailed([Flaw("", detail)])


def _check_facets(chats: Sequence[Row[Any]], max_facets: int) -> None:
    # SQLite does not compress, and a facet takes at least four bytes of JSON there, so
    # few bytes prove that there are few facets.
    is_uncompressed = is_sqlite()
    size = sum(chat.bytes for chat in chats)
    if len(chats) < 2 or (is_uncompressed and size <= 4 * max_facets):
        return
    remaining = max_facets
    for chunk in _chunks(chats):
        facets_of_chunk = select(SessionFacet.session_id).where(
            SessionFacet.session_id.in_([chat.id for chat in chunk])
        )
        some = facets_of_chunk.limit(remaining + 1).subquery()
        remaining -= db.session.scalar(select(func.count()).select_from(some)) or 0
        _check_remaining(remaining, max_facets, _FACETS)


def _check_remaining(remaining: int, limit: int, what: str) -> None:
    if remaining < 0:
        detail = (
            f"More than {limit:,} {what} of sessions would change. Select fewer"
            " sessions."
        )
        raise ValidationFailed([Flaw("", detail)])


def _too_many(max_sessions: int, place: str) -> ValidationFailed:
    detail = f"More than {max_sessions} sessions match ({PREFIX}MAX_BULK_SESSIONS)."
    return ValidationFailed([Flaw(place, detail)])


def _columns_to_set(change: BulkChange, chat: Row[Any]) -> Columns:
    """Return the columns to set on the session; none if it needs no change."""
    return _COLUMNS_BY_ACTION[change.action](change, chat)


def _archive(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"archived_at": utc_now()} if chat.archived_at is None else {}


def _unarchive(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"archived_at": None} if chat.archived_at is not None else {}


def _pin(change: BulkChange, chat: Row[Any]) -> Columns:
    return {} if chat.pinned else {"pinned": True}


def _unpin(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"pinned": False} if chat.pinned else {}


def _change_tags(
    change: BulkChange,
    chats: list[Row[Any]],
    owner_id: str,
    bounds: Bounds,
    *,
    is_dry_run: bool,
) -> list[UUID]:
    """Add or remove tags, a chunk at a time; return the ids of changed sessions."""
    changed: list[UUID] = []
    size, remaining = 0, bounds.max_changed_tags
    is_adding = change.action is BulkAction.ADD_TAGS
    for chunk in _tag_chunks(chats, bounds.chunk_bytes):
        query = select(ChatSession.id, ChatSession.metadata_tags).where(
            ChatSession.id.in_([chat.id for chat in chunk])
        )
        tags_of = {row[0]: row[1] for row in db.session.execute(query)}
        changes: Changes = []
        facets: dict[UUID, set[str]] = {}
        for chat in chunk:
            old = tags_of[chat.id]
            new = (
                _extended_tags(change, chat.id, old)
                if is_adding
                else _reduced_tags(change, old)
            )
            if new == old:
                continue
            changes.append((chat, {"metadata_tags": new}))
            facets[chat.id] = set(new).symmetric_difference(old)
            remaining -= len(facets[chat.id])
            size += chat.bytes
            changed.append(chat.id)
            if len(changed) > 1:
                _check_remaining(remaining, bounds.max_changed_tags, "tags")
                _check_size(size, bounds.max_changed_bytes)
        if not is_dry_run and changes:
            _update_sessions(changes)
            change_tags = add_tags if is_adding else remove_tags
            change_tags(facets, owner_id=owner_id)
    return changed


def _extended_tags(change: BulkChange, session_id: UUID, old: list[str]) -> list[str]:
    known = {tag_value(tag) for tag in old}
    gained = (tag for tag in change.tags if tag_value(tag) not in known)
    tags = [*old, *distinct_tags(gained)]
    if len(tags) > max(change.max_tags, len(old)):
        detail = (
            f"Session {session_id} would have {len(tags)} tags, more than"
            f" {change.max_tags} ({PREFIX}MAX_TAGS)."
        )
        raise ValidationFailed([Flaw("/tags", detail)])
    return tags


def _reduced_tags(change: BulkChange, old: list[str]) -> list[str]:
    removed = {tag_value(tag) for tag in change.tags}
    return [tag for tag in old if tag_value(tag) not in removed]


def _id_column(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"id": chat.id}


_COLUMNS_BY_ACTION: dict[BulkAction, Callable[[BulkChange, Row[Any]], Columns]] = {
    BulkAction.ARCHIVE: _archive,
    BulkAction.UNARCHIVE: _unarchive,
    BulkAction.PIN: _pin,
    BulkAction.UNPIN: _unpin,
    BulkAction.DELETE: _id_column,
    BulkAction.RESTORE: _id_column,
    BulkAction.PURGE: _id_column,
}


def _write(change: BulkChange, changes: Changes, bounds: Bounds) -> bool:
    """Update or delete the sessions; return whether it only hid them."""
    if change.action not in _DELETIONS:
        _update_sessions(changes)
        return False
    chats = [chat for chat, _ in changes]
    if change.action is BulkAction.DELETE and change.has_trash:
        _put_into_trash(chats)
        return False
    return _delete_or_hide(chats, bounds.deletion)


def _put_into_trash(chats: list[Row[Any]]) -> None:
    for chunk in _chunks(chats):
        trash.trash_sessions(ChatSession.id.in_([chat.id for chat in chunk]))


def _restore(
    chats: list[Row[Any]], owner_id: str, bounds: Bounds, *, is_dry_run: bool
) -> None:
    def check_facets(count: int) -> None:
        if len(chats) > 1:
            _check_remaining(
                bounds.max_changed_facets - count, bounds.max_changed_facets, _FACETS
            )

    chunks = (
        some
        for chunk in _chunks(chats)
        for some in in_batches(chunk, lambda chat: chat.bytes, bounds.chunk_bytes)
    )
    trash.restore_sessions(
        chunks, owner_id=owner_id, check_facets=check_facets, is_dry_run=is_dry_run
    )


def _delete_or_hide(chats: list[Row[Any]], bounds: deletions.Bounds) -> bool:
    """Delete the sessions, or hide all if they are large; return whether hidden."""
    ids = [chat.id for chat in chats]
    is_hiding = not _fit_one_transaction(chats, bounds)
    apply = deletions.hide_sessions if is_hiding else deletions.delete_sessions
    for chunk in _chunks(ids):
        apply(ChatSession.id.in_(chunk))
    return is_hiding


def _fit_one_transaction(chats: list[Row[Any]], bounds: deletions.Bounds) -> bool:
    """Return whether one transaction may delete the sessions with their messages."""
    counts = {chat.id: chat.message_count for chat in chats if chat.message_count}
    if not all(chat.is_in_few_answers for chat in chats):
        return False
    if not counts:
        return True
    if sum(counts.values()) > bounds.max_messages:
        return False
    return sum(deletions.message_bytes_of(list(counts)).values()) <= bounds.max_bytes


def _update_sessions(changes: Changes) -> None:
    for chunk in _chunks(changes):
        rows = [
            {"id": chat.id, **columns, "revision": chat.revision + 1}
            for chat, columns in chunk
        ]
        db.session.execute(update(ChatSession), rows)


def _tag_chunks(chats: Sequence[Row[Any]], max_bytes: int) -> Iterator[list[Row[Any]]]:
    for chunk in _chunks(chats):
        yield from in_batches(chunk, lambda chat: chat.tag_bytes, max_bytes)


def _chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK_ROWS)):
        yield chunk
