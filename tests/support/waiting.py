"""The one way to wait: poll a condition until a deadline."""

import threading
import time
from collections.abc import Callable


class Stuck(AssertionError):
    """A condition did not hold by its deadline, or a process ended by itself."""


def wait_until(
    is_so: Callable[[], object], what: str = "", *, seconds: float = 60
) -> None:
    """Return as soon as `is_so()`; raise Stuck, which names `what`, at the deadline."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise Stuck(f"{what or 'the condition'}: not within {seconds:.0f} s")
        time.sleep(0.005)


def wait_for_deletions() -> None:
    """Wait until no thread of this process deletes what requests have hidden."""
    for thread in threading.enumerate():
        if thread.name == "background":
            thread.join(timeout=60)
            assert not thread.is_alive()
