"""Lets requests wait without a thread: the part of the server that parks connections.

A view parks its request through `environ[PARKING]`, a `Place`, and returns the answer
that the client gets if nothing happens. The worker then keeps the connection and this
answer, and the thread serves others. The worker runs the request again after
`Place.wake()`. At the request's time, when the client hangs up and when the server
stops, it sends the kept answer.

This module must not import the application: see `chatstore.server`.
"""

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from gunicorn.workers import gthread

# Keys of the WSGI environment: the request's Place, and the time (perf_counter) at
# which a request that has waited was begun.
PARKING = "chatstore.parking"
BEGUN = "chatstore.begun"
# A parked request is answered at most this late. A sweep over 1,000 requests takes the
# main thread 0.1 ms, so we do not sweep more often.
_SWEEP_SECONDS = 0.25
_PARKED = object()


class _Parked(BaseException):
    """Leaves gunicorn's handling of a request, which catches every Exception."""


class Place:
    """Where one request may wait, and the answer that is kept for it."""

    def __init__(self, conn: Any, wake: Callable[["Place", object], None]) -> None:
        self.conn = conn
        self.begun = time.perf_counter()
        self.until: float | None = None
        self.head: tuple[Any, ...] = ()
        self.body: Any = None
        self.is_over = False  # the kept answer is the one to send
        self.is_woken = False
        self.news: object = None  # what the waker tells the request that runs again
        self._wake = wake
        self._leave: Callable[[], object] | None = None

    def park(
        self,
        seconds: float,
        enter: Callable[[Callable[[object], None]], Callable[[], object] | None],
    ) -> None:
        """Park this request when its view returns, until `seconds` after its first run.

        `enter` gets the function that wakes the request, from any thread, and passes
        its argument on as `news`. It returns the function that cancels the wait, or
        None if there is no room to wait.
        """
        self.news = None
        now = time.monotonic()
        if self.until is None:
            self.until = now + seconds
        if not self.is_over and now < self.until:
            self._leave = enter(partial(self._wake, self))

    @property
    def is_parked(self) -> bool:
        """Whether the view has parked the request."""
        return self._leave is not None

    def leave(self) -> None:
        """Stop waiting."""
        if self._leave is not None:
            self._leave()
            self._leave = None


class _SameRequest:
    """A connection's parser that returns the parsed request once more."""

    def __init__(self, parser: Any) -> None:
        self.parser = parser

    def __next__(self) -> Any:
        return self.parser.mesg

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parser, name)


class ParkingWorker(gthread.ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, in which requests can wait without a thread.

    Woken requests run `max_resumed` at a time. One change may wake all of them, and
    they must leave threads and connections to others.
    """

    max_resumed = 1

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.wsgi: Any = None
        self._thread = threading.local()
        # Only the main thread uses these.
        self._parked: set[Place] = set()
        self._woken: deque[Place] = deque()
        self._resumed = 0
        self._swept_at = 0.0

    def run(self) -> None:
        """Serve until told to stop."""
        self._application = self.wsgi
        self.wsgi = self._call_application
        super().run()

    # In the threads of the pool

    def handle(self, conn: Any) -> Any:
        """Serve a request, a new one or one that has waited."""
        place = getattr(conn, "place", None)
        if place is None:
            return self._handle(conn)
        parser = conn.parser
        conn.parser = _SameRequest(parser)
        try:
            return self._handle(conn)
        finally:
            conn.parser = parser
            self.method_queue.defer(self._resume_next)

    def _handle(self, conn: Any) -> Any:
        try:
            result = super().handle(conn)
        except _Parked:
            return _PARKED
        conn.place = None
        return result

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve the request with a place to wait at."""
        place = getattr(conn, "place", None)
        if place is None:
            place = conn.place = Place(conn, self._wake_later)
        self._thread.place = place
        try:
            return super().handle_request(req, conn)
        finally:
            self._thread.place = None

    def _call_application(self, environ: dict[str, Any], start_response: Any) -> Any:
        place: Place | None = getattr(self._thread, "place", None)
        if place is None:  # HTTP/2, whose streams share a thread
            return self._application(environ, start_response)
        if place.is_over:
            start_response(*place.head)
            return place.body
        if place.until is not None:
            environ[BEGUN] = place.begun
        environ[PARKING] = place

        def start(*head: Any) -> Any:
            place.head = head
            return start_response(*head)

        try:
            body = self._application(environ, start)
        except BaseException:
            place.leave()
            raise
        if not place.is_parked:
            return body
        place.body = body
        # The body is not closed, which would log it as answered.
        structlog.contextvars.clear_contextvars()
        raise _Parked

    # In the main thread

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Park the connection if its request waits."""
        if fs.cancelled() or fs.exception() or fs.result() is not _PARKED:
            super().finish_request(conn, fs)
            return
        place = conn.place
        self._parked.add(place)
        if place.is_woken:
            self._wake(place)
        elif not self.alive:
            self._end(place)
        else:
            conn.sock.setblocking(False)
            readable = partial(self._look_at_client, place)
            self.poller.register(conn.sock, selectors.EVENT_READ, readable)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Serve what has happened; end the waits whose time is over."""
        if self._parked:
            timeout = min(timeout, _SWEEP_SECONDS)
        super().wait_for_and_dispatch_events(timeout)
        now = time.monotonic()
        if self._parked and (not self.alive or now >= self._swept_at + _SWEEP_SECONDS):
            self._swept_at = now
            for place in [*self._parked]:
                if not self.alive or now >= (place.until or now):
                    self._end(place)

    def is_parent_alive(self) -> bool:
        """Return whether the parent is alive; if not, stop, which ends all waits."""
        is_alive = bool(super().is_parent_alive())
        self.alive: bool = self.alive and is_alive
        return is_alive

    def _wake_later(self, place: Place, news: object) -> None:
        place.news = news
        self.method_queue.defer(self._wake, place)

    def _wake(self, place: Place) -> None:
        if place not in self._parked:
            place.is_woken = True  # its thread has not finished with it yet
            return
        self._parked.remove(place)
        self._unregister(place)
        place.leave()
        place.is_woken = False
        self._woken.append(place)
        self._resume()

    def _end(self, place: Place) -> None:
        """Answer the request with what was kept for it."""
        place.is_over = True
        self._wake(place)

    def _resume(self) -> None:
        while self._woken and (self._resumed < self.max_resumed or not self.alive):
            self._resumed += 1
            self.enqueue_req(self._woken.popleft().conn)

    def _resume_next(self) -> None:
        self._resumed -= 1
        self._resume()

    def _look_at_client(self, place: Place, client: socket.socket) -> None:
        """Notice that the client has hung up; its next request waits for this one."""
        try:
            is_gone = not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (OSError, ValueError):  # ValueError: TLS has no MSG_PEEK
            is_gone = True
        if is_gone:
            # It may have closed only its sending side, so it still gets the answer.
            self._end(place)
        else:
            self._unregister(place)

    def _unregister(self, place: Place) -> None:
        if place.conn.sock in self.poller.get_map():
            self.poller.unregister(place.conn.sock)
