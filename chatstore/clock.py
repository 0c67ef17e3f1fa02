"""The only module that reads the clock, so that tests and the demo can replace it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


def _system_now() -> datetime:
    return datetime.now(UTC)


source: Callable[[], datetime] = _system_now
# Seconds of a monotonic clock; only differences between its values have a meaning.
monotonic_source: Callable[[], float] = time.monotonic


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return source()


@contextmanager
def stopped_at(instant: datetime) -> Iterator[None]:
    """Let `utc_now` return `instant` in the block, in all threads of the process.

    Only for a process that does nothing else, such as the command that adds the demo.
    """
    global source
    before, source = source, lambda: instant
    try:
        yield
    finally:
        source = before


def format_instant(instant: datetime) -> str:
    """Return an aware UTC instant as RFC 3339 with six decimals and a Z."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Deadline:
    """The time at which a request stops waiting.

    A request creates one deadline and passes it to each wait, because separate
    timeouts would add up.
    """

    def __init__(self, seconds: float) -> None:
        self._ends_at = monotonic_source() + seconds

    def remaining_seconds(self) -> float:
        """Return `max(end - now, 0)` in seconds."""
        return max(self._ends_at - monotonic_source(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.remaining_seconds() == 0
