"""Lets requests wait for a change of their owner: one watcher for all of a process.

A waiting request holds no database connection. Under chatstore's own server it holds no
thread either, see `chatstore.parking`; under another server it blocks its thread.
"""

import os
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from flask import Flask, request

from chatstore.app_state import add_to_app, get_from_app
from chatstore.clock import Deadline
from chatstore.db import run_read
from chatstore.db.errors import db_error_text
from chatstore.settings import Settings
from chatstore.store.changes import last_change_ids
from chatstore.web.observe import show_waiting_requests

# An append must reach all waiting clients within a second, which leaves time for two
# looks and the answers. Four statements a second cost a database next to nothing.
WATCH_SECONDS = 0.25
# A statement about this many owners takes a few milliseconds.
_MAX_OWNERS = 200
# Where chatstore's server leaves the request's place, a `chatstore.parking.Place`.
_PARKING = "chatstore.parking"

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Wakeup:
    """Shares one value among the requests of one owner that one change has woken.

    It keeps the last value only, so it holds no more than one page.
    """

    def __init__(self) -> None:
        self._kept: tuple[object, Any] | None = None

    def share(self, key: object, read: Callable[[], T]) -> T:
        """Return the value that was kept for `key`, or else what `read` returns.

        `read` runs after the wake-up, so its value has the change that woke them.
        """
        kept = self._kept
        if kept is None or kept[0] != key:
            kept = self._kept = (key, read())
        value: T = kept[1]
        return value


@dataclass(frozen=True, eq=False)
class _Waiter:
    owner_id: str
    seen: int
    wake: Callable[[Wakeup], None]


class WaitingRoom:
    """The requests of one process that wait for a change, and their watcher.

    The watcher is a thread that runs while a request waits. Every `watch_seconds` it
    reads the last change of each owner that has waiting requests. At most `max_waiting`
    requests wait, and at most `max_blocked` of them block their threads.
    """

    def __init__(
        self,
        app: Flask,
        *,
        max_waiting: int,
        max_blocked: int,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._app = app
        self._max_waiting = max_waiting
        self._max_blocked = max_blocked
        self._watch_seconds = watch_seconds
        self._is_database_away = False
        self.forget()
        _rooms.add(self)

    def forget(self) -> None:
        """Forget all waiting requests: after a fork the parent process has them."""
        self._lock = threading.Lock()
        self._waiters: set[_Waiter] = set()
        self._blocked = threading.BoundedSemaphore(self._max_blocked)
        self._is_watching = False

    def enter(
        self, owner_id: str, seen: int, wake: Callable[[Wakeup], None]
    ) -> Callable[[], object] | None:
        """Call `wake`, once, when `owner_id` has a change after `seen`.

        Returns a function that ends the wait, or None if the room is full.
        """
        waiter = _Waiter(owner_id, seen, wake)
        with self._lock:
            if len(self._waiters) >= self._max_waiting or not self._ensure_watcher():
                return None
            self._waiters.add(waiter)
            show_waiting_requests(len(self._waiters))
        return partial(self._leave, waiter)

    def wait(self, owner_id: str, seen: int, deadline: Deadline) -> bool:
        """Block until `owner_id` has a change after `seen`, and return True.

        Returns False at the deadline, or at once if too many wait.
        """
        if not self._blocked.acquire(blocking=False):
            return False
        try:
            changed = threading.Event()
            leave = self.enter(owner_id, seen, lambda _: changed.set())
            if leave is None:
                return False
            try:
                return changed.wait(deadline.remaining_seconds())
            finally:
                leave()
        finally:
            self._blocked.release()

    def look(self) -> None:
        """Wake the waiters whose owner has a change that they have not seen."""
        with self._lock:
            waiters = [*self._waiters]
        try:
            last_ids = self._read_last_ids([*{each.owner_id for each in waiters}])
        except Exception as error:
            # They wait on; the database may be back before their time is over.
            if not self._is_database_away:
                log.warning(
                    "cannot read changes for waiting requests",
                    cause=db_error_text(error),
                )
            self._is_database_away = True
            return
        self._is_database_away = False
        wakeups: defaultdict[str, Wakeup] = defaultdict(Wakeup)
        for waiter in waiters:
            if last_ids.get(waiter.owner_id, 0) > waiter.seen and self._leave(waiter):
                waiter.wake(wakeups[waiter.owner_id])

    def _read_last_ids(self, owner_ids: list[str]) -> dict[str, int]:
        last_ids: dict[str, int] = {}
        with self._app.app_context():
            for start in range(0, len(owner_ids), _MAX_OWNERS):
                some = owner_ids[start : start + _MAX_OWNERS]
                last_ids |= run_read(last_change_ids, some)
        return last_ids

    def _leave(self, waiter: _Waiter) -> bool:
        with self._lock:
            is_here = waiter in self._waiters
            self._waiters.discard(waiter)
            show_waiting_requests(len(self._waiters))
            return is_here

    def _ensure_watcher(self) -> bool:
        """Start the watcher unless it runs; return whether it runs now."""
        if not self._is_watching:
            thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # too many threads
                log.warning("watcher not started", cause=str(error))
            else:
                self._is_watching = True
        return self._is_watching

    def _watch(self) -> None:
        while self._has_waiters():
            self.look()
            time.sleep(self._watch_seconds)

    def _has_waiters(self) -> bool:
        with self._lock:
            self._is_watching = bool(self._waiters)
            return self._is_watching


_rooms: "weakref.WeakSet[WaitingRoom]" = weakref.WeakSet()


def _forget_all() -> None:
    for room in _rooms:
        room.forget()


# A forked process has the room, and perhaps its lock held, but not the watcher.
os.register_at_fork(after_in_child=_forget_all)


def init_waiting(app: Flask, settings: Settings) -> None:
    """Give `app` its waiting room.

    Waiting requests may block a quarter of the threads.
    """
    room = WaitingRoom(
        app,
        max_waiting=settings.max_waiting,
        max_blocked=max(1, settings.threads // 4),
    )
    add_to_app(app, room)


def wait_for_change(owner_id: str, *, seen: int, deadline: Deadline) -> bool:
    """Wait until `owner_id` has a change after `seen`; return whether to read again.

    False means that the view answers now with what it has. Under chatstore's server the
    answer is then kept until a change, which runs the request again, or the deadline.
    """
    if deadline.is_over:
        return False
    room = get_from_app(WaitingRoom)
    place = request.environ.get(_PARKING)
    if place is None:
        return room.wait(owner_id, seen, deadline)
    place.park(deadline.remaining_seconds(), partial(room.enter, owner_id, seen))
    return False


def share_with_woken(key: object, read: Callable[[], T]) -> T:
    """Return what `read` returns, read once for all requests of one wake-up and key.

    A request that has not waited reads itself, so it sees all commits before it.
    """
    place = request.environ.get(_PARKING)
    news = None if place is None else place.news
    return news.share(key, read) if isinstance(news, Wakeup) else read()
