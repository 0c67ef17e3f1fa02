"""The only reader of the clock, so that tests can hold it still."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


def _system_now() -> datetime:
    return datetime.now(UTC)


source: Callable[[], datetime] = _system_now
# Seconds of a clock that nobody sets; only differences mean something.
monotonic_source: Callable[[], float] = time.monotonic


def utc_now() -> datetime:
    """Return the present instant: aware, UTC, microseconds."""
    return source()


def format_instant(instant: datetime) -> str:
    """Return an aware UTC instant as RFC 3339 with six decimals and a Z."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Deadline:
    """When a request stops waiting, whatever it waits for.

    It is made once, when the waiting begins, and handed to each wait in turn: waits
    that each have the whole time add up.
    """

    def __init__(self, seconds: float) -> None:
        self._ends_at = monotonic_source() + seconds

    def remaining_seconds(self) -> float:
        """Return how long there is left to wait: 0 when it is over."""
        return max(self._ends_at - monotonic_source(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether there is no time left to wait."""
        return self.remaining_seconds() == 0
