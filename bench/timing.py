"""Times the work of a single client."""

import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[[], Any], times: int) -> float:
    """Return the mean seconds of one run over `times` runs."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


def each_time(work: Callable[[], Any], times: int) -> list[float]:
    """Return the sorted milliseconds of `times` runs."""
    return sorted(timed(work, 1) * 1000 for _ in range(times))
