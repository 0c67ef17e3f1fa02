"""Deletes API keys and links for good, a number of days after they ended."""

from datetime import timedelta

from chatstore.clock import utc_now
from chatstore.db import run_read
from chatstore.services.steps import run_step
from chatstore.store import ended

# SQLite has one writer, so a transaction must be short.
BATCH = 500


def purge_ended(*, days: int, batch: int = BATCH) -> int:
    """Delete keys and links that ended `days` ago or earlier; return how many.

    A transaction deletes `batch` rows at most. Without any, nothing is written.
    """
    before = utc_now() - timedelta(days=days)
    purged = 0
    for table, column in ended.ENDINGS:
        while ids := run_read(
            ended.find_ended, table, column, before=before, limit=batch
        ):
            count = run_step(ended.delete_ended, table, ids)
            purged += count
            if not count:
                break  # others have locked them
    return purged
