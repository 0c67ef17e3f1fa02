"""Reads the change feed and forgets old deletions; see `store.changes`; no HTTP."""

from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, TypeVar

from chatstore.clock import utc_now
from chatstore.db import is_sqlite, run_read, run_write
from chatstore.services.steps import run_step
from chatstore.store import changes
from chatstore.store.changes import ChangePage, FeedMissing, FeedPosition

P = ParamSpec("P")
T = TypeVar("T")

# Clocks of nodes differ, and a deletion may commit long after its tombstone is written.
_KEPT_LONGER = timedelta(days=1)


def list_changes(
    owner_id: str, *, after: FeedPosition | None, limit: int, tombstone_days: int
) -> ChangePage:
    """Return a page of the owner's changes after a position, as `read_changes` does.

    Without a position, the page is empty and ends after all changes until now.
    """
    if after is None:
        position = _read_feed(changes.current_position, owner_id)
        return ChangePage([], position, has_more=False)
    return _read_feed(
        changes.read_changes,
        owner_id,
        after=after,
        limit=limit,
        tombstone_days=tombstone_days,
    )


def _read_feed(read: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    try:
        return run_read(read, *arguments, **keywords)
    except FeedMissing:
        run_write(changes.create_feed)
        return run_read(read, *arguments, **keywords)


def purge_old_tombstones(*, tombstone_days: int) -> int:
    """Delete the tombstones that no valid token needs, in batches; return how many."""
    before = utc_now() - timedelta(days=tombstone_days) - _KEPT_LONGER
    purged = 0
    while count := run_step(changes.purge_tombstones, before=before):
        purged += count
    return purged


def renew_feed() -> None:
    """Start a new feed in a database that was restored from a backup."""
    if not run_write(changes.renew_feed) or is_sqlite():
        return
    for table in changes.NUMBERED:
        last: tuple[object, ...] | None = None
        while last := run_step(changes.renumber_batch, table, after=last):
            pass
