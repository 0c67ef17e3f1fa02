"""Finds the sessions of the demo by their external ids; no HTTP, no commit."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select

from chatstore.db import db
from chatstore.demo.conversations import PREFIX
from chatstore.models import ChatSession
from chatstore.store.sessions import is_in_trash

# SQLite's LIKE ignores case, and the id of a user must not match.
_IS_DEMO = and_(
    ChatSession.external_id.is_not(None),
    func.substr(ChatSession.external_id, 1, len(PREFIX)) == PREFIX,
)


class DemoSession(NamedTuple):
    """A session of the demo, and how far it has got."""

    id: UUID
    last_seq: int
    is_in_trash: bool


def find_demo_sessions(owner_id: str) -> dict[str, DemoSession]:
    """Return the owner's demo sessions by external id, also those in the trash."""
    query = select(
        ChatSession.external_id,
        ChatSession.id,
        ChatSession.last_seq,
        ChatSession.trashed_at.is_not(None),
    )
    rows = db.session.execute(query.where(_is_of(owner_id), _IS_DEMO))
    return {str(row[0]): DemoSession(*row[1:]) for row in rows}


def has_own_sessions(owner_id: str) -> bool:
    """Whether the owner has sessions that are not of the demo, or has some in trash."""
    is_own = or_(ChatSession.external_id.is_(None), not_(_IS_DEMO))
    query = select(exists().where(_is_of(owner_id), is_own))
    return bool(db.session.scalar(query))


def _is_of(owner_id: str) -> ColumnElement[bool]:
    return or_(ChatSession.owner_id == owner_id, is_in_trash(owner_id))
