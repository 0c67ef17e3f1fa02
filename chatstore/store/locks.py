"""Locks a session, then one of its messages, for a change; no HTTP, no commit.

All changes lock in this order, so that no two of them can deadlock.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.store.messages import MAX_ID, no_such_message
from chatstore.store.sessions import no_such_session, owned


class LockedMessage(NamedTuple):
    """What a change needs to know of the message that it has locked."""

    id: int
    seq: int
    role: str
    revision: int
    deleted_at: datetime | None


_COLUMNS = [getattr(Message, name) for name in LockedMessage._fields]


def lock_session(session_id: UUID, *, owner_id: str) -> int:
    """Lock the session until the commit and return its last seq; raise NotFound."""
    last_seq = _lock_session(session_id, owner_id)
    if last_seq is None:
        raise no_such_session(session_id)
    return last_seq


def lock_message(session_id: UUID, message_id: int, *, owner_id: str) -> LockedMessage:
    """Lock the session and its message until the commit, and return the message.

    Raises the same NotFound for a missing session and for a missing message.
    """
    query = (
        select(*_COLUMNS)
        .where(Message.id == message_id, Message.session_id == session_id)
        .with_for_update()
    )
    if message_id <= MAX_ID and _lock_session(session_id, owner_id) is not None:
        row = db.session.execute(query).first()
        if row is not None:
            return LockedMessage(*row)
    raise no_such_message(session_id, message_id)


def _lock_session(session_id: UUID, owner_id: str) -> int | None:
    query = select(ChatSession.last_seq).where(owned(session_id, owner_id))
    last_seq: int | None = db.session.scalar(query.with_for_update())
    return last_seq
