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


def wait_for_deletions() -> None:
    """Wait until the background deletions of this process have ended."""
    for thread in threading.enumerate():
        if thread.name == "background":
            thread.join(timeout=60)
            assert not thread.is_alive()
