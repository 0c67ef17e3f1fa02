"""Forks sessions, large ones in several transactions; see `store.forks`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from flask import current_app

from chatstore.db import copy_turn, run_read
from chatstore.errors import DatabaseUnavailable, OutcomeUnknown
from chatstore.models import ChatSession
from chatstore.services.background import background_worker_of
from chatstore.services.background_indexing import finish_indexing
from chatstore.services.steps import run_and_log_error, run_step
from chatstore.store import forks


@contextmanager
def copied_fork(
    session_id: UUID,
    *,
    owner_id: str,
    bounds: forks.CopyBounds = forks.BOUNDS,
    **wanted: Any,
) -> Iterator[Callable[[], ChatSession]]:
    """Copy a branch but for its last batch; yield the function that does the rest.

    The caller runs that function in a transaction. It returns the new session. Nobody
    sees the new session before the commit. If the block ends without a commit, the
    copy is deleted in the background. Raises as `plan_fork` and `finish_fork` do.
    """
    plan = run_read(
        forks.plan_fork, session_id, owner_id=owner_id, bounds=bounds, **wanted
    )
    if plan.is_last_batch:
        yield lambda: forks.finish_fork(plan)
        return
    with copy_turn():
        try:
            fork = _copy_batches(plan)
            yield lambda: forks.finish_fork(fork)
        finally:
            # This changes nothing if the session has been given to its owner.
            _hide_unfinished(plan.id)


def _copy_batches(plan: forks.Fork) -> forks.Fork:
    try:
        run_step(forks.begin_fork, plan)
        fork = plan
        while not fork.is_last_batch:
            fork = run_step(forks.copy_batch, fork)
            finish_indexing()
    except OutcomeUnknown as error:
        raise DatabaseUnavailable(
            "The connection to the database was lost during the copy. Nothing was"
            " created."
        ) from error
    return fork


def _hide_unfinished(fork_id: UUID) -> None:
    # If the database is away, the fork is hidden when its lease has ended.
    run_and_log_error(run_step, forks.hide_fork, fork_id)
    background_worker_of(current_app).start()
