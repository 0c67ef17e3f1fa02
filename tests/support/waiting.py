"""The one way to wait: poll a condition until a deadline."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from sqlalchemy import text

from chatstore.db import db


class Stuck(AssertionError):
    """A condition did not hold by its deadline, or a process ended unexpectedly."""


def wait_until(
    is_so: Callable[[], object], what: str = "", *, seconds: float = 60
) -> None:
    """Return as soon as `is_so()`; at the deadline, raise Stuck, naming `what`."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise Stuck(f"{what or 'the condition'}: not within {seconds:.0f} s")
        time.sleep(0.005)


def is_held_up(work: Future[Any]) -> bool:
    """Whether the work waits for a lock; on SQLite, it waits before it begins."""
    if db.engine.dialect.name == "sqlite":
        return work.running()
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return bool(db.session.scalar(text(waiting)))


def wait_for_transactions() -> None:
    """Wait until the server of PostgreSQL runs no transaction that writes.

    Until then its changes, and those that began later, are not told to followers.
    """
    if db.engine.dialect.name == "postgresql":
        snapshot = "pg_current_snapshot()"
        query = text(
            f"SELECT pg_snapshot_xmin({snapshot}) = pg_snapshot_xmax({snapshot})"
        )
        with db.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            wait_until(lambda: connection.scalar(query), "the end of all transactions")


def wait_for_deletions() -> None:
    """Wait until the background deletions of this process have ended."""
    for thread in threading.enumerate():
        if thread.name == "background":
            thread.join(timeout=60)
            assert not thread.is_alive()
