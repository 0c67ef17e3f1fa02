"""Counts failed logins, until the background worker writes them to the audit log.

A failed login must not be a write: an attacker would take SQLite's write lock at will.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

# Rows of one minute. The last one counts the failures of all further addresses.
_MAX_ROWS = 60
# Minutes that wait for the worker. Later failures are in the log lines only.
_MAX_MINUTES = 10


class FailedLogin(NamedTuple):
    """The failures from one address in one minute; None stands for many addresses."""

    minute: datetime
    address: str | None
    failures: int


class FailedLogins:
    """The failed logins of this process by address and minute; safe for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[datetime, Counter[str | None]] = {}

    def note(self, address: str | None, instant: datetime) -> None:
        """Count a failed login."""
        minute = instant.replace(second=0, microsecond=0)
        with self._lock:
            if minute not in self._minutes and len(self._minutes) >= _MAX_MINUTES:
                return
            counts = self._minutes.setdefault(minute, Counter())
            is_known = address in counts or len(counts) < _MAX_ROWS - 1
            counts[address if is_known else None] += 1

    def give_back(self, failed: Iterable[FailedLogin]) -> None:
        """Take back failures that could not be written, to return them again.

        With more minutes than may wait, the latest minute is forgotten.
        """
        with self._lock:
            for minute, address, failures in failed:
                counts = self._minutes.setdefault(minute, Counter())
                is_known = address in counts or len(counts) < _MAX_ROWS - 1
                counts[address if is_known else None] += failures
            while len(self._minutes) > _MAX_MINUTES:
                del self._minutes[max(self._minutes)]

    def take(self, now: datetime) -> list[FailedLogin]:
        """Return the failed logins of the minutes before `now`'s, and forget them."""
        current = now.replace(second=0, microsecond=0)
        with self._lock:
            over = [minute for minute in sorted(self._minutes) if minute < current]
            taken = [(minute, self._minutes.pop(minute)) for minute in over]
        return [
            FailedLogin(minute, address, count)
            for minute, counts in taken
            for address, count in counts.items()
        ]
