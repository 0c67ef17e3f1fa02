"""Keeps when keys and logins were last used, until the background worker writes it.

To write `last_used_at` in each request would make every read a write.
"""

import threading
from datetime import datetime

# The most keys of which a process notes a use between two writes; it drops others.
_MAX_KEYS = 10_000


class KeyUses:
    """The last use of each API key in this process; safe for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_used: dict[str, datetime] = {}

    def note(self, key_id: str, instant: datetime) -> None:
        """Note that the key was used."""
        with self._lock:
            if len(self._last_used) < _MAX_KEYS or key_id in self._last_used:
                self._last_used[key_id] = instant

    def give_back(self, taken: dict[str, datetime]) -> None:
        """Take back uses that could not be written; a later use of a key stays."""
        with self._lock:
            self._last_used = taken | self._last_used

    def take(self) -> dict[str, datetime]:
        """Return the last use of each key, and forget them all."""
        with self._lock:
            taken, self._last_used = self._last_used, {}
        return taken


class LoginUses(KeyUses):
    """The last use of each login of a browser in this process."""
