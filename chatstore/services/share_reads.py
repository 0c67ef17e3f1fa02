"""Writes down how often shared links were read."""

from chatstore.access.share_reads import ShareReads
from chatstore.app_state import get_from_app
from chatstore.services.steps import run_step
from chatstore.store.shares import add_reads

# SQLite has one writer, so a transaction must be short.
_SHARES_PER_TRANSACTION = 500


def write_share_reads() -> None:
    """Write the reads that this process has counted since the last call.

    If the database is away, the reads are lost.
    """
    reads = sorted(get_from_app(ShareReads).take().items())
    for start in range(0, len(reads), _SHARES_PER_TRANSACTION):
        run_step(add_reads, dict(reads[start : start + _SHARES_PER_TRANSACTION]))
