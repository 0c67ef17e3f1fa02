"""Leases of periodic work, so that one server at a time does it; no HTTP, no commit.

A lease is a row with an end. A holder that was killed loses it then. The work must be
right even if two servers do it at once, because their clocks may differ.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.clock import utc_now
from chatstore.db import db, is_sqlite
from chatstore.models import Job

# A holder renews its lease with each batch, which takes a second at most.
LEASE = timedelta(minutes=5)


def claim(name: str, holder: str) -> bool:
    """Take or renew the lease; return False if another holder has it."""
    now = utc_now()
    db.session.execute(_inserting(name=name).on_conflict_do_nothing())
    claiming = (
        update(Job)
        .where(
            Job.name == name,
            or_(Job.holder.is_(None), Job.holder == holder, Job.held_until < now),
        )
        .values(holder=holder, held_until=now + LEASE)
        .returning(Job.name)
        .execution_options(synchronize_session=False)
    )
    return db.session.scalar(claiming) is not None


def release(name: str, holder: str) -> None:
    """End the lease, if the holder still has it."""
    db.session.execute(
        update(Job)
        .where(Job.name == name, Job.holder == holder)
        .values(holder=None, held_until=None)
        .execution_options(synchronize_session=False)
    )


def finish(name: str) -> None:
    """Note that the job was done now."""
    now = utc_now()
    db.session.execute(
        _inserting(name=name, done_at=now).on_conflict_do_update(
            index_elements=["name"], set_={"done_at": now}
        )
    )


def is_due(name: str, every: timedelta) -> bool:
    """Return whether the job was never done, or last done `every` ago or earlier."""
    done_at = db.session.scalar(select(Job.done_at).where(Job.name == name))
    return done_at is None or done_at <= utc_now() - every


def _inserting(**values: Any) -> Any:
    insert: Any = sqlite.insert if is_sqlite() else postgresql.insert
    return insert(Job.__table__).values(values)
