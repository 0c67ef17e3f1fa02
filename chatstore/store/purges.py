"""Finds the sessions that are due to be deleted for good, and hides them; no commit.

A batch is found without a lock. The transaction locks and checks its sessions again,
because they may have been restored or used meanwhile. The background deletions then
delete the hidden sessions.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select

from chatstore.clock import utc_now
from chatstore.db import db
from chatstore.models import ChatSession
from chatstore.models.sessions import COPYING_OWNER, DELETED_OWNER, TRASH_OWNER
from chatstore.store.batches import fitting
from chatstore.store.deletions import IS_VISIBLE, hide_sessions
from chatstore.store.facets import COLUMNS
from chatstore.store.filters import SessionFilters, pinned_is, select_all_matching
from chatstore.store.json_rows import stored_bytes

# Sessions of one transaction, and the bytes of their tags, document ids and metadata,
# each of which is a row to delete.
BATCH = 200
BATCH_BYTES = 64 * 1024
_NOBODY = (DELETED_OWNER, COPYING_OWNER, TRASH_OWNER)
_SIZE = stored_bytes(*(getattr(ChatSession, name) for name in COLUMNS.values()))


def was_trashed(seconds: int) -> ColumnElement[bool]:
    """Return the condition that a session has been in the trash for `seconds`."""
    before = utc_now() - timedelta(seconds=seconds)
    return and_(ChatSession.trashed_at.is_not(None), ChatSession.trashed_at <= before)


def has_expired() -> ColumnElement[bool]:
    """Return the condition that a session's `expires_at` has passed."""
    return and_(
        ChatSession.expires_at.is_not(None), ChatSession.expires_at <= utc_now()
    )


def is_unused(owner_id: str, days: int) -> ColumnElement[bool]:
    """Return the condition of an owner's sessions without activity for `days`.

    Pinned sessions do not meet it.
    """
    return and_(
        ChatSession.owner_id == owner_id,
        ChatSession.last_updated_at <= utc_now() - timedelta(days=days),
        IS_VISIBLE,
        pinned_is(False),
    )


def matches(
    filters: SessionFilters, owner_id: str, *, includes_pinned: bool
) -> ColumnElement[bool]:
    """Return the condition of an owner's sessions that match the filters."""
    query = select_all_matching(select(ChatSession.id), filters, owner_id=owner_id)
    if not includes_pinned:
        query = query.where(pinned_is(False))
    assert query.whereclause is not None
    return query.whereclause


def find_due(condition: ColumnElement[bool], *, limit: int = BATCH) -> list[UUID]:
    """Return the ids of the next sessions to purge, as many as fit into a batch."""
    rows = db.session.execute(
        select(ChatSession.id, _SIZE).where(condition).limit(limit)
    ).all()
    return [row[0] for row in fitting(rows, lambda row: row[1], BATCH_BYTES)]


def count_due(trash_seconds: int) -> int:
    """Return how many sessions have been in the trash for `trash_seconds`."""
    return (
        db.session.scalar(select(func.count()).where(was_trashed(trash_seconds))) or 0
    )


def purge_due(ids: Sequence[UUID], condition: ColumnElement[bool]) -> int:
    """Hide those of the sessions that still meet the condition; return how many.

    Passes over sessions that others have locked.
    """
    locking = (
        select(ChatSession.id)
        .where(ChatSession.id.in_(ids), condition)
        .order_by(ChatSession.id)
        .with_for_update(skip_locked=True)
    )
    locked = db.session.scalars(locking).all()
    return len(hide_sessions(ChatSession.id.in_(locked))) if locked else 0


class Candidate(NamedTuple):
    """What an administrator reads about a session before its purge."""

    id: UUID
    owner_id: str
    last_updated_at: datetime
    message_count: int
    name: str | None


_COLUMNS = [getattr(ChatSession, name) for name in Candidate._fields]


def list_candidates(
    condition: ColumnElement[bool], *, after: UUID | None = None
) -> list[Candidate]:
    """Return the next sessions that meet the condition, by id."""
    query = select(*_COLUMNS).where(condition).order_by(ChatSession.id).limit(BATCH)
    if after is not None:
        query = query.where(ChatSession.id > after)
    return [Candidate(*row) for row in db.session.execute(query)]


def each_owner() -> Iterator[str]:
    """Yield each owner of sessions once, with one index lookup for each."""
    owner = ChatSession.owner_id
    owner_id = db.session.scalar(select(func.min(owner)))
    while owner_id is not None:
        if owner_id not in _NOBODY:
            yield owner_id
        owner_id = db.session.scalar(select(func.min(owner)).where(owner > owner_id))
