"""Changes to many sessions at once, all or none; no HTTP, no commit."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update

from chatstore.clock import utc_now
from chatstore.db import db, is_sqlite
from chatstore.enums import BulkAction
from chatstore.errors import Flaw, ValidationFailed
from chatstore.models import ChatSession, SessionFacet
from chatstore.settings import PREFIX
from chatstore.store import deletions
from chatstore.store.batches import in_batches
from chatstore.store.facets import COLUMNS, add_tags, remove_tags
from chatstore.store.filters import SessionFilters, find_rare_facet, select_matching
from chatstore.store.json_rows import disk_bytes

# Rows per statement: well within the limits of both databases.
_CHUNK_ROWS = 500
# Bounds of one request. It runs in one transaction, and all other writers wait for it.
MAX_CHANGED_TAGS = 10_000
MAX_CHANGED_FACETS = 50_000
MAX_CHANGED_BYTES = 64 * 1024 * 1024
# Bytes of tags that are read and written at a time, as stored: PostgreSQL may
# compress them.
_CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class BulkChange:
    """An action on sessions; `tags`, in order, are for the actions on tags."""

    action: BulkAction
    tags: tuple[str, ...] = ()
    max_tags: int = 50


@dataclass(frozen=True)
class BulkOutcome:
    """The numbers of selected and of changed sessions.

    If `has_hidden`, `finish_deletions` must delete hidden sessions after the commit.
    """

    matched: int
    changed: int
    has_hidden: bool = False


def change_sessions(
    change: BulkChange,
    *,
    owner_id: str,
    selected: Collection[UUID] | SessionFilters,
    max_sessions: int,
    is_dry_run: bool = False,
) -> BulkOutcome:
    """Change the owner's selected sessions, or only count them in a dry run.

    Ignores ids of sessions that the owner does not have; `last_updated_at` stays.
    Raises ValidationFailed when the filters match more than `max_sessions`, when a
    session would get too many tags, or when the request would change more than
    `MAX_CHANGED_TAGS`, `MAX_CHANGED_FACETS` or `MAX_CHANGED_BYTES` allow.
    """
    chats = _lock_sessions(owner_id, selected, max_sessions)
    if change.action in _TAG_ACTIONS:
        changed = _change_tags(change, chats, owner_id, is_dry_run=is_dry_run)
        return BulkOutcome(matched=len(chats), changed=changed)
    changes = [
        (chat, columns) for chat in chats if (columns := _columns_to_set(change, chat))
    ]
    changed_chats = [chat for chat, _ in changes]
    _check_bytes(changed_chats)
    has_hidden = False
    if change.action is BulkAction.DELETE:
        _check_facets(changed_chats)
        if not is_dry_run:
            has_hidden = _delete_or_hide(changed_chats)
    elif not is_dry_run:
        _update_sessions(changes)
    return BulkOutcome(matched=len(chats), changed=len(changes), has_hidden=has_hidden)


Columns = dict[str, Any]
Changes = list[tuple[Row[Any], Columns]]

_TAG_ACTIONS = (BulkAction.ADD_TAGS, BulkAction.REMOVE_TAGS)
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
    owner_id: str, selected: Collection[UUID] | SessionFilters, max_sessions: int
) -> list[Row[Any]]:
    # Lock rows in id order so that two bulk requests cannot deadlock.
    locking = select(*_LOCKED_COLUMNS).order_by(ChatSession.id).with_for_update()
    if isinstance(selected, SessionFilters):
        connection = db.session.connection()
        query = select_matching(
            locking,
            selected,
            owner_id=owner_id,
            rare_facet=find_rare_facet(connection, selected, owner_id=owner_id),
            dialect_name=connection.dialect.name,
        )
        chats = list(db.session.execute(query.limit(max_sessions + 1)))
        if len(chats) > max_sessions:
            raise _too_many(max_sessions, selected)
        return _recheck_facets(chats, selected)
    chats = []
    for chunk in _chunks(sorted(set(selected))):
        owned = locking.where(
            ChatSession.owner_id == owner_id, ChatSession.id.in_(chunk)
        )
        chats += db.session.execute(owned)
    return chats


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


def _check_bytes(chats: Sequence[Row[Any]]) -> None:
    # SQLite rewrites the whole row at any change, so all its bytes count.
    if len(chats) > 1:
        _check_size(sum(chat.bytes for chat in chats))


def _check_size(size: int) -> None:
    if size > MAX_CHANGED_BYTES:
        detail = (
            "The tags, document ids and metadata of these sessions exceed"
            f" {MAX_CHANGED_BYTES} bytes. Select fewer sessions."
        )
        raise ValidationFailed([Flaw("", detail)])


def _check_facets(chats: Sequence[Row[Any]]) -> None:
    # SQLite does not compress, and a facet takes at least four bytes of JSON there, so
    # few bytes prove that there are few facets.
    is_uncompressed = is_sqlite()
    size = sum(chat.bytes for chat in chats)
    if len(chats) < 2 or (is_uncompressed and size <= 4 * MAX_CHANGED_FACETS):
        return
    remaining = MAX_CHANGED_FACETS
    for chunk in _chunks(chats):
        facets_of_chunk = select(SessionFacet.session_id).where(
            SessionFacet.session_id.in_([chat.id for chat in chunk])
        )
        some = facets_of_chunk.limit(remaining + 1).subquery()
        remaining -= db.session.scalar(select(func.count()).select_from(some)) or 0
        _check_remaining(
            remaining, MAX_CHANGED_FACETS, "tags, document ids and metadata pairs"
        )


def _check_remaining(remaining: int, limit: int, what: str) -> None:
    if remaining < 0:
        detail = (
            f"More than {limit:,} {what} of sessions would change. Select fewer"
            " sessions."
        )
        raise ValidationFailed([Flaw("", detail)])


def _too_many(max_sessions: int, selected: SessionFilters) -> ValidationFailed:
    place = "/all" if selected == SessionFilters() else "/filter"
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
    change: BulkChange, chats: list[Row[Any]], owner_id: str, *, is_dry_run: bool
) -> int:
    """Add or remove tags, a chunk at a time; return how many sessions changed."""
    changed, size, remaining = 0, 0, MAX_CHANGED_TAGS
    is_adding = change.action is BulkAction.ADD_TAGS
    for chunk in _tag_chunks(chats):
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
            changed += 1
            _check_remaining(remaining if changed > 1 else 0, MAX_CHANGED_TAGS, "tags")
            _check_size(size if changed > 1 else 0)
        if not is_dry_run and changes:
            _update_sessions(changes)
            change_tags = add_tags if is_adding else remove_tags
            change_tags(facets, owner_id=owner_id)
    return changed


def _extended_tags(change: BulkChange, session_id: UUID, old: list[str]) -> list[str]:
    tags = list(dict.fromkeys([*old, *change.tags]))
    if len(tags) > max(change.max_tags, len(old)):
        detail = (
            f"Session {session_id} would have {len(tags)} tags, more than"
            f" {change.max_tags} ({PREFIX}MAX_TAGS)."
        )
        raise ValidationFailed([Flaw("/tags", detail)])
    return tags


def _reduced_tags(change: BulkChange, old: list[str]) -> list[str]:
    return [tag for tag in old if tag not in change.tags]


def _id_column(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"id": chat.id}


_COLUMNS_BY_ACTION: dict[BulkAction, Callable[[BulkChange, Row[Any]], Columns]] = {
    BulkAction.ARCHIVE: _archive,
    BulkAction.UNARCHIVE: _unarchive,
    BulkAction.PIN: _pin,
    BulkAction.UNPIN: _unpin,
    BulkAction.DELETE: _id_column,
}


def _delete_or_hide(chats: list[Row[Any]]) -> bool:
    """Delete the sessions, or hide all if they are large; return whether hidden."""
    ids = [chat.id for chat in chats]
    is_hiding = not _fit_one_transaction(chats)
    apply = deletions.hide_sessions if is_hiding else deletions.delete_sessions
    for chunk in _chunks(ids):
        apply(ChatSession.id.in_(chunk))
    return is_hiding


def _fit_one_transaction(chats: list[Row[Any]]) -> bool:
    """Return whether one transaction may delete the sessions with their messages."""
    counts = {chat.id: chat.message_count for chat in chats if chat.message_count}
    if not counts:
        return True
    if sum(counts.values()) > deletions.BATCH:
        return False
    return (
        sum(deletions.message_bytes_of(list(counts)).values()) <= deletions.BATCH_BYTES
    )


def _update_sessions(changes: Changes) -> None:
    for chunk in _chunks(changes):
        rows = [
            {"id": chat.id, **columns, "revision": chat.revision + 1}
            for chat, columns in chunk
        ]
        db.session.execute(update(ChatSession), rows)


def _tag_chunks(chats: Sequence[Row[Any]]) -> Iterator[list[Row[Any]]]:
    for chunk in _chunks(chats):
        yield from in_batches(chunk, lambda chat: chat.tag_bytes, _CHUNK_BYTES)


def _chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK_ROWS)):
        yield chunk
