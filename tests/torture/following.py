"""A client that follows the change feed through all disruptions."""

import threading
import time
from typing import Any

from tests.support.follower import Follower, read_everything
from tests.torture.connection import Abandoned, Connection

_PAUSE_SECONDS = 0.05
# PostgreSQL may still end the transactions of killed clients.
_LONGEST_DELAY_SECONDS = 30


class FollowingClient(threading.Thread):
    """Applies changes until the run is over; repeats each request until it is answered.

    A token must never expire, whatever is killed.
    """

    def __init__(
        self, *, port: int, over: threading.Event, abandon: threading.Event
    ) -> None:
        super().__init__(name="follower", daemon=True)
        self.error: Exception | None = None
        self.follower = Follower(self._get)
        self._over, self._abandon = over, abandon
        self._connection = Connection(port, abandon)

    def run(self) -> None:
        try:
            while not self._over.is_set():
                if not self.follower.step():
                    self._over.wait(_PAUSE_SECONDS)
        except Abandoned:
            pass
        except Exception as error:
            self.error = error

    def find_difference(self) -> str | None:
        """Let the follower catch up; return how it differs from the store, or None."""
        deadline = time.monotonic() + _LONGEST_DELAY_SECONDS
        while True:
            self.follower.catch_up()
            stored = read_everything(self._get)
            copy = self.follower.copy
            if copy == stored and self.follower.restarts == 1:
                return None
            if time.monotonic() > deadline:
                different = sorted(
                    each
                    for each in copy.keys() | stored.keys()
                    if copy.get(each) != stored.get(each)
                )
                begun = self.follower.restarts
                return f"{len(different)} sessions {different[:3]}, begun {begun} times"
            time.sleep(_PAUSE_SECONDS)

    def _get(self, path: str) -> tuple[int, Any]:
        while True:
            self._connection.connect()
            reply = self._connection.ask("GET", path)
            if reply.status is not None and reply.status != 503 and not reply.error:
                return reply.status, reply.body
            if self._abandon.wait(_PAUSE_SECONDS):
                raise Abandoned
