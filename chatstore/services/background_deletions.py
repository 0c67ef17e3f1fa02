"""Deletes the messages of hidden sessions; see `store.deletions`."""

from uuid import UUID

from chatstore.db import run_read
from chatstore.services.steps import run_and_log_error, run_step
from chatstore.store import deletions, forks
from chatstore.store.deletions import BOUNDS, Bounds


def finish_deletions(*, bounds: Bounds = BOUNDS) -> bool:
    """Delete the hidden sessions and their messages; return whether none is left.

    Each batch is a transaction, so other writers get in between. If a batch fails, the
    error is logged and the session stays hidden.
    """
    succeeded, last = run_and_log_error(_hide_abandoned_forks), None
    while session_id := run_read(deletions.find_hidden, after=last):
        # A batch that fails must not block the other sessions, so we go on.
        has_deleted_small = run_and_log_error(_delete_small_sessions, bounds)
        has_deleted_session = run_and_log_error(_finish_deletion, session_id, bounds)
        succeeded = succeeded and has_deleted_small and has_deleted_session
        last = session_id
    # A fork that is copied now may be abandoned later, so we look again.
    return succeeded and not run_read(forks.count_unfinished)


def _hide_abandoned_forks() -> None:
    if run_read(forks.count_unfinished):
        run_step(forks.hide_abandoned_forks)


def _delete_small_sessions(bounds: Bounds) -> None:
    while run_step(deletions.delete_small_sessions, bounds=bounds):
        pass


def _finish_deletion(session_id: UUID, bounds: Bounds) -> None:
    last: int | None = 0
    while last is not None:
        last = run_step(deletions.delete_batch, session_id, after=last, bounds=bounds)
