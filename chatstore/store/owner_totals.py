"""Counts all that an owner stores, with the trash; no HTTP, no commit."""

from typing import NamedTuple

from sqlalchemy import func, select, union_all

from chatstore.db import db
from chatstore.models import ChatSession
from chatstore.store.sessions import is_in_trash


class OwnerTotals(NamedTuple):
    """How many sessions an owner has, messages in them, and bytes of these."""

    sessions: int
    messages: int
    bytes: int = 0


def count_owner_totals(owner_id: str) -> OwnerTotals:
    """Count what the owner has; reads each of the owner's sessions, but no message.

    A message whose content was deleted keeps its place, so it counts.
    """
    totals = select(
        func.count(),
        func.coalesce(func.sum(ChatSession.message_count), 0),
        func.coalesce(func.sum(ChatSession.content_bytes), 0),
    )
    parts = (ChatSession.owner_id == owner_id, is_in_trash(owner_id))
    rows = db.session.execute(union_all(*(totals.where(part) for part in parts))).all()
    return OwnerTotals(*(sum(map(int, counts)) for counts in zip(*rows, strict=True)))
