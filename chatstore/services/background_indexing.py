"""Writes the search entries that large appends left; see `store.search.rebuild`."""

import threading

from chatstore.clock import Deadline
from chatstore.db import run_read
from chatstore.errors import DatabaseUnavailable
from chatstore.services.steps import run_and_log_error, run_step
from chatstore.store.search import rebuild

# Two threads would compute the words of the same messages, so only one works.
_indexing_lock = threading.Lock()


def finish_indexing(deadline: Deadline | None = None) -> bool:
    """Index the messages that are pending now, in transactions of bounded size.

    Return whether all succeeded. After an error or the deadline, the cause is logged
    and the other messages stay pending.
    """
    return run_and_log_error(_finish_indexing, deadline)


def _finish_indexing(deadline: Deadline | None) -> None:
    last = run_read(rebuild.last_pending)
    if not last:
        return
    seconds = -1 if deadline is None else deadline.remaining_seconds()
    if not _indexing_lock.acquire(timeout=seconds):
        raise DatabaseUnavailable(
            "Another thread takes too long to write search entries."
        )
    try:
        while run_step(rebuild.index_pending, until=last):
            if deadline is not None and deadline.is_over:
                raise DatabaseUnavailable(
                    "The deadline passed before all search entries were written."
                )
    finally:
        _indexing_lock.release()
