"""Deletes sessions that hold more messages than one transaction may; no commit.

Whoever writes meanwhile would wait for all of them. So a session is hidden first: from
then on it is nobody's, and no query of an owner finds it. Its messages go in batches,
a transaction each, and its row with the last of them.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select, update

from chatstore.db import db
from chatstore.models import ChatSession, Message, SessionFacet
from chatstore.models.indexes import MESSAGES, NAMES
from chatstore.models.sessions import NOBODY
from chatstore.store import index

# So many take SQLite some 30 ms, or 100 on a slow machine.
BATCH = 2000
# Among what a session of the ORM knows: whether there is work after its commit.
HAS_HIDDEN = "has_hidden"
# The condition on what is looked at beside any owner: half a session is no fault.
IS_WHOLE = ChatSession.owner_id != NOBODY


def delete_sessions(condition: ColumnElement[bool]) -> list[UUID]:
    """Delete the sessions, with their messages; return their ids."""
    index.delete_entries(condition)
    deleted = delete(ChatSession).where(condition).returning(ChatSession.id)
    return list(db.session.scalars(deleted))


def hide_sessions(condition: ColumnElement[bool]) -> list[UUID]:
    """Take sessions from their owners, for `delete_batch`; return their ids."""
    hiding = (
        update(ChatSession)
        .where(condition)
        .values(
            owner_id=NOBODY,
            deleted_from=ChatSession.owner_id,
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
        db.session().info[HAS_HIDDEN] = True
        ids = [row.id for row in rows]
        db.session.execute(delete(SessionFacet).where(SessionFacet.session_id.in_(ids)))
        numbers = [row.number for row in rows if row.number is not None]
        db.session.execute(index.delete_keys(NAMES, numbers))
    return [row.id for row in rows]


def find_hidden() -> UUID | None:
    """Return a session that is hidden and not deleted yet, if there is one."""
    hidden = select(ChatSession.id).where(ChatSession.owner_id == NOBODY)
    found: UUID | None = db.session.scalar(hidden.limit(1))
    return found


def delete_batch(session_id: UUID, *, after: int = 0) -> int | None:
    """Delete the next messages of a hidden session, of greater seq than `after`.

    Returns the seq up to which they are gone, or None when the session is gone, too.
    """
    messages = and_(Message.session_id == session_id, Message.seq > after)
    # Two that do the same take turns, a batch each.
    chat = select(ChatSession.id).where(_hidden(session_id)).with_for_update()
    if db.session.scalar(chat) is None:
        return None
    first = db.session.scalar(select(func.min(Message.seq)).where(messages))
    if first is None:
        delete_sessions(_hidden(session_id))
        return None
    last: int = first + BATCH - 1
    these = and_(messages, Message.seq <= last)
    if index.is_fts5():
        keys = select(Message.id).where(these)
        db.session.execute(index.delete_keys(MESSAGES, keys))
    db.session.execute(delete(Message).where(these))
    return last


def _hidden(session_id: UUID) -> ColumnElement[bool]:
    return and_(ChatSession.id == session_id, ChatSession.owner_id == NOBODY)
