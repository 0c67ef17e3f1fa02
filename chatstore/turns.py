"""Lets a transaction that is run again run alone in its process; no database here."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_WAIT_SECONDS = 2


class Turns:
    """Many run at once, until one asks to be alone.

    On a serializable database all who wait for a row fail when it changes: of eight
    writers to one session, each retry would meet the seven others again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._wait_to_be_alone = 0

    @contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """Run among others, or alone; or, after a short wait, as it comes.

        The bound keeps one that waits for a lock from holding up all the others.
        """
        with self._changed:
            self._wait_to_be_alone += alone
            self._changed.wait_for(
                lambda: not (self._running if alone else self._wait_to_be_alone),
                timeout=_LONGEST_WAIT_SECONDS,
            )
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._wait_to_be_alone -= alone
                self._changed.notify_all()
