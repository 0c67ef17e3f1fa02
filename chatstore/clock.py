"""The only reader of the clock, so that tests can hold it still."""

from collections.abc import Callable
from datetime import UTC, datetime


def _system_now() -> datetime:
    return datetime.now(UTC)


source: Callable[[], datetime] = _system_now


def utc_now() -> datetime:
    """Return the present instant: aware, UTC, microseconds."""
    return source()


def format_instant(instant: datetime) -> str:
    """Return an aware UTC instant as RFC 3339 with six decimals and a Z."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
