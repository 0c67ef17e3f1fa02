"""Changes to many sessions at once, all or none; no HTTP, no commit."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, update

from chatstore.clock import utc_now
from chatstore.db import db
from chatstore.enums import BulkAction
from chatstore.errors import Flaw, ValidationFailed
from chatstore.models import ChatSession
from chatstore.settings import PREFIX
from chatstore.store import deletions
from chatstore.store.facets import COLUMNS, replace_facets
from chatstore.store.filters import SessionFilters, find_rare_facet, select_matching

# As many as fit into one statement on both databases, with room to spare.
_CHUNK = 500


@dataclass(frozen=True)
class BulkChange:
    """What to do to sessions; `tags` are for the actions on tags, in their order."""

    action: BulkAction
    tags: tuple[str, ...] = ()
    most_tags: int = 50


@dataclass(frozen=True)
class BulkOutcome:
    """How many sessions were meant, and how many of them are different now."""

    matched: int
    changed: int


def change_sessions(
    change: BulkChange,
    *,
    owner_id: str,
    selected: Collection[UUID] | SessionFilters,
    most: int,
    is_dry_run: bool = False,
) -> BulkOutcome:
    """Change the selected sessions of the owner, or only count those it would.

    Ids of no session of the owner are passed over; `last_updated_at` stays. Raises
    ValidationFailed when the filters match more than `most`, or when a session
    would have too many tags.
    """
    chats = _lock(owner_id, selected, most)
    changes = [(chat, columns) for chat in chats if (columns := _change(change, chat))]
    if not is_dry_run:
        if change.action is BulkAction.DELETE:
            _delete([chat for chat, _ in changes])
        else:
            _update(changes, owner_id)
    return BulkOutcome(matched=len(chats), changed=len(changes))


Columns = dict[str, Any]
Changes = list[tuple[Row[Any], Columns]]

_COLUMNS: tuple[Any, ...] = (
    ChatSession.id,
    ChatSession.pinned,
    ChatSession.archived_at,
    ChatSession.metadata_tags,
    ChatSession.rag_document_ids,
    ChatSession.message_count,
    ChatSession.revision,
)


def _lock(
    owner_id: str, selected: Collection[UUID] | SessionFilters, most: int
) -> list[Row[Any]]:
    # In the order of the id: two that lock the same rows never wait for each other.
    locking = select(*_COLUMNS).order_by(ChatSession.id).with_for_update()
    if isinstance(selected, SessionFilters):
        connection = db.session.connection()
        query = select_matching(
            locking,
            selected,
            owner_id=owner_id,
            rare_facet=find_rare_facet(connection, selected, owner_id=owner_id),
            dialect_name=connection.dialect.name,
        )
        chats = list(db.session.execute(query.limit(most + 1)))
        if len(chats) > most:
            raise _too_many(most, selected)
        return [chat for chat in chats if _has_facets(chat, selected)]
    chats = []
    for chunk in _chunks(sorted(set(selected))):
        mine = locking.where(
            ChatSession.owner_id == owner_id, ChatSession.id.in_(chunk)
        )
        chats += db.session.execute(mine)
    return chats


def _has_facets(chat: Row[Any], filters: SessionFilters) -> bool:
    # PostgreSQL, when it had to wait for a row, looks at it again, but not at what
    # other tables have of it: a tag may have been taken off meanwhile.
    return all(
        not set(values).isdisjoint(getattr(chat, COLUMNS[kind]))
        for kind, values in filters.facets()
    )


def _too_many(most: int, selected: SessionFilters) -> ValidationFailed:
    place = "/all" if selected == SessionFilters() else "/filter"
    detail = f"More sessions match than {most} ({PREFIX}MAX_BULK_SESSIONS)."
    return ValidationFailed([Flaw(place, detail)])


def _change(change: BulkChange, chat: Row[Any]) -> Columns:
    """Return what is to be set on the session: nothing if it is so already."""
    return _CHANGES[change.action](change, chat)


def _archive(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"archived_at": utc_now()} if chat.archived_at is None else {}


def _unarchive(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"archived_at": None} if chat.archived_at is not None else {}


def _pin(change: BulkChange, chat: Row[Any]) -> Columns:
    return {} if chat.pinned else {"pinned": True}


def _unpin(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"pinned": False} if chat.pinned else {}


def _add_tags(change: BulkChange, chat: Row[Any]) -> Columns:
    tags = list(dict.fromkeys([*chat.metadata_tags, *change.tags]))
    if len(tags) > max(change.most_tags, len(chat.metadata_tags)):
        detail = (
            f"Session {chat.id} would have {len(tags)}: at most {change.most_tags}"
            f" ({PREFIX}MAX_TAGS)."
        )
        raise ValidationFailed([Flaw("/tags", detail)])
    return {"metadata_tags": tags} if tags != chat.metadata_tags else {}


def _remove_tags(change: BulkChange, chat: Row[Any]) -> Columns:
    tags = [tag for tag in chat.metadata_tags if tag not in change.tags]
    return {"metadata_tags": tags} if tags != chat.metadata_tags else {}


def _mark(change: BulkChange, chat: Row[Any]) -> Columns:
    return {"id": chat.id}


_CHANGES: dict[BulkAction, Callable[[BulkChange, Row[Any]], Columns]] = {
    BulkAction.ARCHIVE: _archive,
    BulkAction.UNARCHIVE: _unarchive,
    BulkAction.PIN: _pin,
    BulkAction.UNPIN: _unpin,
    BulkAction.ADD_TAGS: _add_tags,
    BulkAction.REMOVE_TAGS: _remove_tags,
    BulkAction.DELETE: _mark,
}


def _delete(chats: list[Row[Any]]) -> None:
    rows = deletions.BATCH
    small: list[UUID] = []  # those without messages first
    few: list[UUID] = []
    large: list[UUID] = []
    for chat in chats:
        if not chat.message_count:
            small.append(chat.id)
        elif chat.message_count <= rows:
            rows -= chat.message_count
            few.append(chat.id)
        else:
            large.append(chat.id)
    room = deletions.BATCH_BYTES
    for chunk in _chunks(few):
        sizes = deletions.sizes_of(chunk)
        for session_id in chunk:
            size = sizes.get(session_id, 0)
            (small if size <= room else large).append(session_id)
            room -= size if size <= room else 0
    for apply, ids in (
        (deletions.delete_sessions, small),
        (deletions.hide_sessions, large),
    ):
        for chunk in _chunks(ids):
            apply(ChatSession.id.in_(chunk))


def _update(changes: Changes, owner_id: str) -> None:
    for chunk in _chunks(changes):
        rows = [
            {"id": chat.id, **columns, "revision": chat.revision + 1}
            for chat, columns in chunk
        ]
        db.session.execute(update(ChatSession), rows)
        replace_facets({chat.id: columns for chat, columns in chunk}, owner_id=owner_id)


def _chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
