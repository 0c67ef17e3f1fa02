"""Times what one client does, one thing after another."""

import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[[], Any], times: int) -> float:
    """Return the seconds that one of so many runs took."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


def each_time(work: Callable[[], Any], times: int) -> list[float]:
    """Return the milliseconds that every run took, sorted."""
    return sorted(timed(work, 1) * 1000 for _ in range(times))
