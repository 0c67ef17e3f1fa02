"""Queues threads for a key, first come, first served; knows no database."""

import threading
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from chatstore.clock import Deadline
from chatstore.errors import DatabaseUnavailable


class _Queue:
    """The threads of one key: the number inside, and those waiting, in order."""

    def __init__(self) -> None:
        self.inside = 0
        self.waiting: deque[threading.Event] = deque()


class Turns:
    """Admits at most `places` threads at a time per key; the others wait in a queue.

    A thread that leaves hands its place to the first of the queue, so no newcomer can
    take it.
    """

    def __init__(self, *, places: int, waiters: str = "writers") -> None:
        self._places, self._waiters = places, waiters
        self._lock = threading.Lock()
        self._queues: dict[Hashable, _Queue] = {}

    @contextmanager
    def taken(self, key: Hashable, deadline: Deadline) -> Iterator[None]:
        """Hold a place while the block runs.

        Raises DatabaseUnavailable if no place is free by the deadline.
        """
        self._enter(key, deadline)
        try:
            yield
        finally:
            self._leave(key)

    def count_waiting(self, key: Hashable) -> int:
        """Return how many threads wait for a place."""
        with self._lock:
            queue = self._queues.get(key)
            return len(queue.waiting) if queue else 0

    def _enter(self, key: Hashable, deadline: Deadline) -> None:
        with self._lock:
            queue = self._queues.setdefault(key, _Queue())
            if queue.inside < self._places:
                queue.inside += 1
                return
            my_turn = threading.Event()
            queue.waiting.append(my_turn)
        if my_turn.wait(deadline.remaining_seconds()):
            return
        with self._lock:
            if my_turn.is_set():  # set between the timeout and here
                return
            queue.waiting.remove(my_turn)
        raise DatabaseUnavailable(
            f"Too many {self._waiters} are waiting (CHATSTORE_LOCK_TIMEOUT_SECONDS)."
        )

    def _leave(self, key: Hashable) -> None:
        with self._lock:
            queue = self._queues[key]
            if queue.waiting:
                queue.waiting.popleft().set()
                return
            queue.inside -= 1
            if not queue.inside:
                del self._queues[key]
