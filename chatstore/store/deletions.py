"""Deletes sessions that hold more messages than one transaction may; no commit.

Whoever writes meanwhile would wait for all of them. So a session is hidden first: from
then on it is nobody's, and no query of an owner finds it. Its messages go in batches,
a transaction each, and its row with the last batch. Hidden sessions that are small go
many to a transaction.
"""

from collections.abc import Sequence
from contextlib import closing
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, delete, func, select, update

from chatstore.db import db
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, Message, SessionFacet
from chatstore.models.sessions import NOBODY
from chatstore.store.batches import fitting
from chatstore.store.json_rows import stored_bytes
from chatstore.store.search import entries

# What goes at once: short messages take SQLite some 15 ms, or 50 on a slow machine.
BATCH = 1000
BATCH_BYTES = 8 * 1024 * 1024
# The condition on what is looked at beside any owner: half a session is no fault.
IS_WHOLE = ChatSession.former_owner_id.is_(None)


def delete_sessions(condition: ColumnElement[bool]) -> list[UUID]:
    """Delete the sessions, with their messages; return their ids."""
    entries.delete_entries(condition)
    deleted = delete(ChatSession).where(condition).returning(ChatSession.id)
    return list(db.session.scalars(deleted))


def hide_sessions(condition: ColumnElement[bool]) -> list[UUID]:
    """Take sessions from their owners, for `delete_batch`; return their ids."""
    hiding = (
        update(ChatSession)
        .where(condition)
        .values(
            owner_id=NOBODY,
            former_owner_id=ChatSession.owner_id,
            name=None,
            name_folded="",
            rag_document_ids=[],
            metadata_tags=[],
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
    """Return the next session that is hidden, in the order of their ids, if any."""
    hidden = select(ChatSession.id).where(_IS_HIDDEN).order_by(ChatSession.id).limit(1)
    if after is not None:
        hidden = hidden.where(ChatSession.id > after)
    found: UUID | None = db.session.scalar(hidden)
    return found


def count_hidden() -> int:
    """Return how many sessions are hidden, and not deleted yet."""
    return db.session.scalar(select(func.count()).where(_IS_HIDDEN)) or 0


def delete_small() -> int:
    """Delete the next hidden sessions that fit into one batch; return how many.

    A session that fills a batch alone is left to `delete_batch`.
    """
    locking = (
        select(ChatSession.id, ChatSession.message_count)
        .where(_IS_HIDDEN, ChatSession.message_count < BATCH)
        .order_by(ChatSession.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    rows = db.session.execute(locking).all()
    few = fitting(rows, lambda row: max(row.message_count, 1), BATCH)
    sizes = sizes_of([row.id for row in few])
    small = [row.id for row in few if sizes.get(row.id, 0) <= BATCH_BYTES]
    ids = fitting(small, lambda each: sizes.get(each, 0), BATCH_BYTES)
    return len(delete_sessions(ChatSession.id.in_(ids))) if ids else 0


def delete_batch(session_id: UUID, *, after: int = 0) -> int | None:
    """Delete the next messages of a hidden session, of greater seq than `after`.

    Returns the seq up to which they are gone, or None when the session is gone, too, or
    another process is at it.
    """
    hidden = and_(ChatSession.id == session_id, _IS_HIDDEN)
    locking = select(ChatSession.id).where(hidden).with_for_update(skip_locked=True)
    if db.session.scalar(locking) is None:
        return None
    last = _end_of_batch(session_id, after)
    if last is None:
        delete_sessions(hidden)
        return None
    these = and_(
        Message.session_id == session_id, Message.seq > after, Message.seq <= last
    )
    if entries.is_fts5():
        keys = select(Message.id).where(these)
        db.session.execute(entries.delete_keys(MESSAGES, keys))
    db.session.execute(delete(Message).where(these))
    return last


_BYTES = stored_bytes(Message.content, Message.metadata_)


def is_small() -> ColumnElement[bool]:
    """The condition that a session's messages go in one transaction, by both bounds.

    Sizes are asked for only where there are few messages.
    """
    size = (
        select(func.coalesce(func.sum(_BYTES), 0))
        .where(Message.session_id == ChatSession.id)
        .scalar_subquery()
    )
    few = ChatSession.message_count <= BATCH
    return case((few, size), else_=BATCH_BYTES + 1) <= BATCH_BYTES


def sizes_of(ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the bytes of the messages of each session that has any."""
    query = (
        select(Message.session_id, func.sum(_BYTES))
        .where(Message.session_id.in_(ids))
        .group_by(Message.session_id)
    )
    return {row[0]: int(row[1]) for row in db.session.execute(query)}


# By both: what happens to belong to nobody is not to be destroyed for that.
_IS_HIDDEN = and_(ChatSession.owner_id == NOBODY, ~IS_WHOLE)


def _end_of_batch(session_id: UUID, after: int) -> int | None:
    """Return the seq that a batch ends with; None if it is the last of the session."""
    query = (
        select(Message.seq, _BYTES)
        .where(Message.session_id == session_id, Message.seq > after)
        .order_by(Message.seq)
        .limit(BATCH + 1)
    )
    total, last = 0, after
    with closing(db.session.execute(query)) as rows:  # SQLite reads on as asked for
        for number, (seq, size_of_one) in enumerate(rows):
            total += size_of_one
            if number == BATCH or (number and total > BATCH_BYTES):
                return last
            last = seq
    return None
