"""Configuration of gunicorn, read from Settings: `gunicorn -c python:chatstore.server`.

Runs in gunicorn's master, which must not import the application: a reload would
leave the old code in its workers.
"""

import gc
import json
import mmap
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn
from uuid import uuid4

import gunicorn.glogging
import gunicorn.http.message
import gunicorn.http.parser
import gunicorn.util
import structlog
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers import gthread

from chatstore.logs import configure_logs, logging_config
from chatstore.settings import PREFIX, Settings

_settings = Settings.from_env()
configure_logs(level=_settings.log_level, style=_settings.log_format)
_log = structlog.get_logger(__name__)

# Where worker processes keep their metrics; prometheus_client asks when imported.
_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_DRAIN_SECONDS = 5
_PIECE_BYTES = 64 * 1024
# So many threads of a process may wait for what clients send; none of them is missed
# by the requests that have come whole.
_MOST_SLOW = 32
_LOOK_SECONDS = 1.0
# One byte that the master shares with its workers: whether one of them ever served.
_has_served = mmap.mmap(-1, 1)

bind = _settings.bind
workers = _settings.workers
worker_class = "gthread"
# Slow readers of long listings have threads of their own, or there would soon be none.
threads = _settings.threads + _settings.max_streams
keepalive = 65  # longer than nginx keeps idle connections, so that it closes first
timeout = 60
graceful_timeout = 30
control_socket_disable = True
# By itself gunicorn takes any release of its parser in C that is installed. That saves
# 1 to 15 µs a request, less than 3 %, but it answers differently: the release that
# gunicorn[fast] asks for does not install, and 0.6.10 answers 400 for 431 and 501.
http_parser = "python"
# A search of 10,000 characters, each of four bytes that are percent-encoded, as nginx
# lets it through. gunicorn has a bound of its own below that, or none at all.
limit_request_line = gunicorn.http.message.MAX_REQUEST_LINE = 128 * 1024
# gunicorn parses all headers again after each 8 KiB. That takes half a second for 250
# headers of 8 KiB, and seven seconds for 1,000.
limit_request_fields = 250
# By default gunicorn takes SCRIPT_NAME and PATH_INFO from headers of any client on the
# same machine.
forwarder_headers = ""
logconfig_dict = logging_config(level=_settings.log_level, style=_settings.log_format)


def _request_timeout() -> type[Any]:
    # A replaced worker loads the application anew, which then has a class of its own.
    from chatstore.errors import RequestTimeout

    return RequestTimeout


class _Wait:
    """A thread that waits for a client, which has been slow since `since`."""

    def __init__(self, client: socket.socket, since: float) -> None:
        self.client = client
        self.since = since
        self.is_over = False

    def end(self) -> None:
        """Let the thread that waits read the end of what the client sends."""
        self.is_over = True
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_RD)


class _SlowClients:
    """The clients that threads wait for: when one is too many, the slowest must go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waits: set[_Wait] = set()

    @contextmanager
    def wait_for(self, client: socket.socket, *, since: float) -> Iterator[_Wait]:
        """Count the block as one that waits for `client`."""
        wait = _Wait(client, since)
        with self._lock:
            self._waits.add(wait)
            going = [each for each in self._waits if not each.is_over]
            if len(going) > self._most:
                min(going, key=lambda each: each.since).end()
        try:
            yield wait
        finally:
            with self._lock:
                self._waits.discard(wait)


_slow_clients = _SlowClients(_MOST_SLOW)


class _BoundedUnreader(SocketUnreader):  # type: ignore[misc]
    """gunicorn's, with an end to the time that a client may take for one request."""

    def __init__(self, source: socket.socket) -> None:
        super().__init__(source)
        self.started: float | None = None
        self.deadline = 0.0
        self.is_expired = False
        self.request: Any = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return what has come, or comes in time; RequestTimeout at the deadline."""
        if self.is_expired:
            raise NoMoreData  # nobody knows where a next request begins: close
        if self.started is None:
            self.started = time.monotonic()
            self.deadline = self.started + _settings.request_read_seconds
        size = min(max(size_hint or 0, self.mxchunk), self.max_body_chunk)
        with suppress(BlockingIOError):
            return self.sock.recv(size, socket.MSG_DONTWAIT)  # type: ignore[no-any-return]
        with _slow_clients.wait_for(self.sock, since=self.started) as wait:
            data = self._recv(size)
        if data is None or (wait.is_over and not data):
            self._expire()
        return data or b""

    def _recv(self, size: int) -> bytes | None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            return None
        try:
            self.sock.settimeout(left)
            data: bytes = self.sock.recv(size)
        except TimeoutError:
            return None
        else:
            return data
        finally:
            self.sock.settimeout(None)

    def _expire(self) -> NoReturn:
        self.is_expired = True
        if self.request is not None:
            self.request.force_close()
        # gunicorn waits for the client once more when it closes, and all others
        # would wait with it.
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)
        raise _request_timeout()(
            "The request did not come whole in time"
            f" ({PREFIX}REQUEST_READ_SECONDS is {_settings.request_read_seconds}), or"
            " too many others were slow at once."
        )

    def next_request(self) -> None:
        """Forget the request that has been read; the next has a time of its own."""
        self.started = self.request = None


# The one place that takes it by this name.
gunicorn.http.parser.SocketUnreader = _BoundedUnreader


class _Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """gunicorn's, in which no slow client stops the thread that serves all others."""

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads: those who send slowly have some of their own, too."""
        return ThreadPoolExecutor(max_workers=threads + _MOST_SLOW)

    def handle(self, conn: Any) -> Any:
        """Serve one request, and close the connection here if it ends."""
        is_kept = super().handle(conn)
        if not is_kept:
            # The main thread would wait two seconds for a client that does not close.
            with _slow_clients.wait_for(conn.sock, since=time.monotonic()):
                gunicorn.util.close_graceful(conn.sock)
            conn.close = _leave_closed
        return is_kept

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer a request that was not read in time with 408."""
        if not isinstance(exc, _request_timeout()):
            super().handle_error(req, client, addr, exc)
            return
        _log.warning("request not read in time")
        with suppress(OSError):
            _send_problem(client, exc.status, exc.title, exc.detail)


def _leave_closed(*, graceful: bool = False) -> None:
    """Do nothing: the connection was closed by the thread that served it."""


# What the name in `worker_class` stands for.
gthread.ThreadWorker = _Worker
# A connection on which nothing has come waits with all others, without a thread.
gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.1


class _Logger(gunicorn.glogging.Logger):  # type: ignore[misc]
    """gunicorn's, without a line of its own for each request: there is one already."""

    def access(self, *_: Any) -> None:
        """Write nothing; gunicorn would collect 20 facts for it."""


logger_class = _Logger


def _write_problem(
    client: Any, status: int, reason: str, message: str, *_: Any
) -> None:
    """Answer what gunicorn cannot read; its own message would quote the client."""
    detail = "The server could not read this as an HTTP request."
    _send_problem(client, status, reason, detail)


def _send_problem(client: Any, status: int, reason: str, detail: str) -> None:
    """Answer without the application, in the shape of every other error."""
    request_id = uuid4().hex
    body = json.dumps(
        {
            "type": f"urn:chatstore:problem:{reason.lower().replace(' ', '-')}",
            "title": reason,
            "status": status,
            "detail": detail,
            "request_id": request_id,
        }
    )
    gunicorn.util.write_nonblock(
        client,
        (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
            f"Content-Type: application/problem+json\r\nX-Request-Id: {request_id}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode("latin-1"),
    )


# The one way there is to gunicorn's own error page, which is HTML.
gunicorn.util.write_error = _write_problem


def on_starting(server: Any) -> None:
    """Make the folder in which workers keep their metrics, unless there is one."""
    if _METRICS not in os.environ:
        os.environ[_METRICS] = tempfile.mkdtemp(prefix="chatstore-metrics-")
        server.chatstore_metrics = os.environ[_METRICS]


def _greet(server_pid: int) -> None:
    """Tell a person where to look and how to stop."""
    is_socket = bind.startswith("unix:")
    address = bind if is_socket else f"http://{bind}"
    docs = "/docs" if is_socket else f"{address}/docs"
    sys.stdout.write(
        f"chatstore listens on {address}\n"
        f"API docs:            {docs}\n"
        f"Stop it with Ctrl-C, or: kill {server_pid}\n"
    )
    sys.stdout.flush()


def post_fork(server: Any, worker: Any) -> None:
    """Leave the collector alone while the application is imported: all of it stays."""
    gc.disable()
    if _has_served[0]:
        # gunicorn halts a server of which a worker cannot start. This one replaces a
        # worker, perhaps between an installation and its migration.
        worker.load_wsgi = partial(_load_at_last, worker, worker.load_wsgi)


def _load_at_last(worker: Any, load: Callable[[], None]) -> None:
    """Load the application, when that can be done."""
    _forget_old_code()

    def attempt() -> str | None:
        try:
            load()
        except Exception as error:
            _forget_old_code()
            return f"{type(error).__name__}: {error}"
        return None

    _wait_until(worker, attempt)


def _forget_old_code() -> None:
    # The master has imported a few modules of the version that it was started with.
    # Those of another version do not fit to them.
    for name in [*sys.modules]:
        if name.partition(".")[0] == "chatstore":
            del sys.modules[name]


def _wait_until(worker: Any, attempt: Callable[[], str | None]) -> None:
    """Return when the attempt has no objection; log the first of them.

    The worker keeps its heartbeat and accepts no connection. It ends when it is told
    to, or its master is gone.
    """
    is_logged = False
    while objection := attempt():
        if not is_logged:
            _log.error("worker waits", cause=objection)
            is_logged = True
        worker.notify()
        time.sleep(_LOOK_SECONDS)
        if not worker.alive or worker.ppid != os.getppid():
            sys.exit(0)


def post_worker_init(worker: Any) -> None:
    """Do not serve a database of another revision; finish what is left to do.

    A server that starts on one stops. A worker that replaces another one waits, while
    the others go on.
    """
    from gunicorn.arbiter import Arbiter

    from chatstore.db import db
    from chatstore.services.background import finisher_of

    app = worker.wsgi
    with app.app_context():
        if _has_served[0]:
            _wait_until(worker, _find_wrong_revision)
        elif objection := _find_wrong_revision():
            _log.error(objection)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        db.engine.dispose()
    _has_served[0] = 1
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.enable()
    finisher_of(app).start()
    if worker.age == 1:
        _greet(worker.ppid)


def _find_wrong_revision() -> str | None:
    """Return what is wrong with the revision; None, too, if nobody can say."""
    from chatstore.db import db
    from chatstore.db.errors import db_error_text, is_unavailable
    from chatstore.db.revisions import check_revision
    from chatstore.errors import WrongRevision

    try:
        check_revision()
    except WrongRevision as error:
        return error.detail
    except Exception as error:
        if not is_unavailable(error):
            raise
        _log.warning("database away at the start", cause=db_error_text(error))
    finally:
        db.session.remove()
    return None


def pre_request(worker: Any, request: Any) -> None:
    """Stop serving when the master is gone, or busy connections keep its port."""
    if worker.ppid != os.getppid():
        worker.alive = False
    request.unreader.request = request


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Read what the application left of a body that it refused.

    gunicorn reads 64 KiB of it and then closes the connection, which it may have
    announced to keep: nginx would answer this request, or the next, with a 502.
    """
    unreader = request.unreader
    body = environ.get("wsgi.input")
    has_body = {"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"} & environ.keys()
    if body is not None and has_body and not unreader.is_expired:
        _drain(unreader, body)
    unreader.next_request()


def _drain(unreader: _BoundedUnreader, body: Any) -> None:
    unreader.deadline = min(unreader.deadline, time.monotonic() + _DRAIN_SECONDS)
    with suppress(OSError, ParseException, _request_timeout()):
        for _ in range(0, 2 * _settings.max_body_bytes, _PIECE_BYTES):
            if not body.read(_PIECE_BYTES):
                return
    # The client is gone, or slow, or talks nonsense, or too much.
    unreader.is_expired = True


def child_exit(server: Any, worker: Any) -> None:
    """Let go of the metrics that describe the worker's present, not its past."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Remove the folder that `on_starting` made."""
    if hasattr(server, "chatstore_metrics"):
        shutil.rmtree(server.chatstore_metrics, ignore_errors=True)
