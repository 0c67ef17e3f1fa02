"""Deletes the messages of hidden sessions; see `store.deletions`."""

from uuid import UUID

from chatstore.db import run_read
from chatstore.services.steps import is_done, step_then_pause
from chatstore.store import deletions
from chatstore.store.deletions import BOUNDS, Bounds


def finish_deletions(*, bounds: Bounds = BOUNDS) -> bool:
    """Delete the hidden sessions and their messages; return whether all succeeded.

    Each batch is a transaction, so other writers get in between. If a batch fails, the
    error is logged and the session stays hidden.
    """
    is_well, last = True, None
    while session_id := run_read(deletions.find_hidden, after=last):
        # A batch that fails must not block the other sessions, so we go on.
        is_small_done = is_done(_delete_small, bounds)
        is_this_done = is_done(_finish_deletion, session_id, bounds)
        is_well = is_well and is_small_done and is_this_done
        last = session_id
    return is_well


def _delete_small(bounds: Bounds) -> None:
    while step_then_pause(deletions.delete_small, bounds=bounds):
        pass


def _finish_deletion(session_id: UUID, bounds: Bounds) -> None:
    last: int | None = 0
    while last is not None:
        last = step_then_pause(
            deletions.delete_batch, session_id, after=last, bounds=bounds
        )
