"""Queries of API keys and links that were revoked or have expired; no commit."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select

from chatstore.db import db
from chatstore.models import ApiKey, Share

Ended = type[ApiKey] | type[Share]
# The tables, and the columns that say when a row ended. No row begins again.
ENDINGS: tuple[tuple[Ended, str], ...] = (
    (ApiKey, "revoked_at"),
    (ApiKey, "expires_at"),
    (Share, "revoked_at"),
    (Share, "expires_at"),
)


def find_ended(
    table: Ended, column: str, *, before: datetime, limit: int
) -> Sequence[str]:
    """Return the ids of rows whose `column` is before the instant, `limit` at most."""
    ended_at = getattr(table, column)
    query = select(table.id).where(ended_at < before).order_by(ended_at).limit(limit)
    return db.session.scalars(query).all()


def delete_ended(table: Ended, ids: Sequence[str]) -> int:
    """Delete the rows and return how many; pass over rows that others have locked."""
    locking = select(table.id).where(table.id.in_(ids)).order_by(table.id)
    locked = db.session.scalars(locking.with_for_update(skip_locked=True)).all()
    if locked:
        db.session.execute(
            delete(table)
            .where(table.id.in_(locked))
            .execution_options(synchronize_session=False)
        )
    return len(locked)
