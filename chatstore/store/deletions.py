"""Deletes sessions, large ones in several transactions; no HTTP, no commit.

Other writers would wait for one long transaction. So a large session is hidden first:
`DELETED_OWNER` owns it, and no query of an owner finds it. Then each transaction
deletes one batch of its messages, and the last one deletes its row. Small hidden
sessions share a transaction.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update

from chatstore.db import db, is_sqlite
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, Message, MessageRevision, SessionFacet
from chatstore.models.sessions import DELETED_OWNER, OWNER, TRASH_OWNER
from chatstore.store.answers import (
    forget_answers_of_sessions,
    forget_some_answers,
    shows_in_few_answers,
)
from chatstore.store.batches import fitting
from chatstore.store.json_rows import stored_bytes
from chatstore.store.search import entries


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of the messages that one transaction deletes.

    SQLite deletes 1000 short messages in 15 ms, or in 50 ms on a slow machine.
    """

    max_messages: int = 1000
    max_bytes: int = 8 * 1024 * 1024


BOUNDS = Bounds()
IS_VISIBLE = ChatSession.former_owner_id.is_(None)
# A session that is being deleted or copied may lack messages, so checks of all data
# skip it. One in the trash must come back whole.
IS_WHOLE = or_(IS_VISIBLE, ChatSession.owner_id == TRASH_OWNER)


def delete_sessions(condition: ColumnElement[bool]) -> list[UUID]:
    """Delete the sessions with their messages; return the sessions' ids.

    The stored answers that show them are forgotten. The sessions must have few.
    """
    entries.delete_entries(condition)
    deleted = delete(ChatSession).where(condition).returning(ChatSession.id, OWNER)
    owners = {row[0]: row[1] for row in db.session.execute(deleted)}
    forget_answers_of_sessions(owners)
    return list(owners)


def hide_sessions(condition: ColumnElement[bool]) -> list[UUID]:
    """Hide sessions, for `delete_batch` to delete later; return their ids.

    They may be in the trash.
    """
    hiding = (
        update(ChatSession)
        .where(condition)
        .values(
            owner_id=DELETED_OWNER,
            former_owner_id=OWNER,
            name=None,
            name_folded="",
            rag_document_ids=[],
            metadata_tags=[],
            metadata_={},
            external_id=None,
            last_message_preview=None,
            trashed_at=None,
            expires_at=None,
            revision=ChatSession.revision + 1,
        )
        .returning(ChatSession.id, ChatSession.number)
    )
    rows = db.session.execute(hiding).all()
    if rows:
        ids = [row.id for row in rows]
        db.session.execute(delete(SessionFacet).where(SessionFacet.session_id.in_(ids)))
        numbers = [row.number for row in rows if row.number is not None]
        db.session.execute(entries.delete_keys(NAMES, numbers))
    return [row.id for row in rows]


def find_hidden(*, after: UUID | None = None) -> UUID | None:
    """Return the id of the next hidden session in id order, or None."""
    hidden = select(ChatSession.id).where(_IS_HIDDEN).order_by(ChatSession.id).limit(1)
    if after is not None:
        hidden = hidden.where(ChatSession.id > after)
    session_id: UUID | None = db.session.scalar(hidden)
    return session_id


def count_hidden() -> int:
    """Return how many sessions are hidden and not deleted yet."""
    return db.session.scalar(select(func.count()).where(_IS_HIDDEN)) or 0


def delete_small_sessions(*, bounds: Bounds = BOUNDS) -> int:
    """Delete the next hidden sessions that fit into one batch; return how many.

    A session that fills a batch alone is left to `delete_batch`.
    """
    locking = (
        select(ChatSession.id, ChatSession.message_count)
        .where(
            _IS_HIDDEN,
            ChatSession.message_count < bounds.max_messages,
            shows_in_few_answers(),
        )
        .order_by(ChatSession.id)
        .limit(bounds.max_messages)
        .with_for_update(skip_locked=True)
    )
    rows = db.session.execute(locking).all()
    first_sessions = fitting(
        rows, lambda row: max(row.message_count, 1), bounds.max_messages
    )
    sizes = message_bytes_of([row.id for row in first_sessions])
    small = [
        row.id for row in first_sessions if sizes.get(row.id, 0) <= bounds.max_bytes
    ]
    ids = fitting(small, lambda each: sizes.get(each, 0), bounds.max_bytes)
    return len(delete_sessions(ChatSession.id.in_(ids))) if ids else 0


def delete_batch(
    session_id: UUID, *, after: int = 0, bounds: Bounds = BOUNDS
) -> int | None:
    """Delete the next batch of a hidden session's messages, with `seq > after`.

    Returns the last deleted seq. Returns None if the session is deleted too, or if
    another process has locked it. Stored answers that show the session are forgotten
    first, in batches of their own, which return 0.
    """
    hidden = and_(ChatSession.id == session_id, _IS_HIDDEN)
    locking = select(ChatSession.id).where(hidden).with_for_update(skip_locked=True)
    if db.session.scalar(locking) is None:
        return None
    if not after and forget_some_answers(session_id):
        return 0
    last = find_end_of_batch(session_id, after, bounds)
    if last is None:
        delete_sessions(hidden)
        return None
    batch = and_(
        Message.session_id == session_id, Message.seq > after, Message.seq <= last
    )
    if is_sqlite():
        keys = select(Message.id).where(batch)
        db.session.execute(entries.delete_keys(MESSAGES, keys))
    db.session.execute(delete(Message).where(batch))
    return last


# A short revision costs time too, so each one counts these bytes more.
_BYTES_OF_A_ROW = BOUNDS.max_bytes // BOUNDS.max_messages
_REVISION_BYTES = (
    select(
        func.coalesce(
            func.sum(
                _BYTES_OF_A_ROW
                + stored_bytes(
                    MessageRevision.content,
                    MessageRevision.metadata_,
                    MessageRevision.extra,
                )
            ),
            0,
        )
    )
    .where(MessageRevision.message_id == Message.id)
    .correlate(Message)
    .scalar_subquery()
)
# The bytes of a message with its earlier revisions, which are deleted with it.
_OWN_BYTES = stored_bytes(
    Message.content,
    Message.metadata_,
    Message.extra,
    Message.search_text,
    Message.feedback,
)
# SQLite would read a large text to reach the column `revision`, so we do not ask it
# whether there are revisions.
_BYTES = _OWN_BYTES + _REVISION_BYTES


def fits_one_transaction(bounds: Bounds = BOUNDS) -> ColumnElement[bool]:
    """Return the condition that a session's messages fit into one transaction.

    The database sums their sizes only if they are few enough.
    """
    size = (
        select(func.coalesce(func.sum(_BYTES), 0))
        .where(Message.session_id == ChatSession.id)
        .scalar_subquery()
    )
    has_few_messages = ChatSession.message_count <= bounds.max_messages
    return and_(
        case((has_few_messages, size), else_=bounds.max_bytes + 1) <= bounds.max_bytes,
        shows_in_few_answers(),
    )


def message_bytes_of(ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the bytes of messages by session id, for sessions that have any."""
    query = (
        select(Message.session_id, func.sum(_BYTES))
        .where(Message.session_id.in_(ids))
        .group_by(Message.session_id)
    )
    return {row[0]: int(row[1]) for row in db.session.execute(query)}


# Both conditions must hold, so that a session with an empty owner id by mistake is not
# deleted.
_IS_HIDDEN = and_(ChatSession.owner_id == DELETED_OWNER, ~IS_VISIBLE)


def find_end_of_batch(session_id: UUID, after: int, bounds: Bounds) -> int | None:
    """Return the last seq of the next batch; None if no messages follow the batch.

    A batch stays within `bounds`, or has one larger message.
    """
    query = (
        select(Message.seq, _BYTES)
        .where(Message.session_id == session_id, Message.seq > after)
        .order_by(Message.seq)
        .limit(bounds.max_messages + 1)
    )
    total, last = 0, after
    with closing(db.session.execute(query)) as rows:  # SQLite reads rows as fetched
        for number, (seq, size_of_one) in enumerate(rows):
            total += size_of_one
            is_over = number and total > bounds.max_bytes
            if number == bounds.max_messages or is_over:
                return last
            last = seq
    return None
