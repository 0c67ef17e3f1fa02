"""Counts the reads of shared links, until the background worker writes them.

To write the count in each request would make every read a write.
"""

import threading
from dataclasses import dataclass
from datetime import datetime

# The most links whose reads a process counts between two writes; it drops others.
_MAX_SHARES = 10_000


@dataclass(frozen=True)
class Reads:
    """How often a link was read, and when last."""

    count: int
    last: datetime


class ShareReads:
    """The reads of each link in this process; safe for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: dict[str, Reads] = {}

    def note(self, share_id: str, instant: datetime) -> None:
        """Count one read of the link."""
        with self._lock:
            known = self._reads.get(share_id)
            if known is not None:
                last = max(known.last, instant)
                self._reads[share_id] = Reads(known.count + 1, last)
            elif len(self._reads) < _MAX_SHARES:
                self._reads[share_id] = Reads(1, instant)

    def take(self) -> dict[str, Reads]:
        """Return the reads of each link, and forget them."""
        with self._lock:
            taken, self._reads = self._reads, {}
        return taken
