"""The only reader of the clock, so that tests can hold it still."""

from collections.abc import Callable
from datetime import UTC, datetime


def _system_now() -> datetime:
    return datetime.now(UTC)


source: Callable[[], datetime] = _system_now


def utc_now() -> datetime:
    """Return the present instant: aware, UTC, microseconds."""
    return source()
