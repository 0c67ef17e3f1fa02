"""Configuration of gunicorn, read from Settings: `gunicorn -c python:chatstore.server`.

gunicorn's master runs this module. It must not import the application, because workers
would then keep the old code after a reload.

SIGHUP reloads: new workers import the application again, and the old ones finish their
requests. The master keeps this module and the environment, so settings do not change.
SIGTERM stops: running requests have `graceful_timeout` seconds to finish. SIGUSR2
starts no second master, because gunicorn's http package shadows Python's own there.
"""

import gc
import json
import mmap
import os
import resource
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
from chatstore.parking import ParkingWorker
from chatstore.settings import PREFIX, Settings

_settings = Settings.from_env()
configure_logs(level=_settings.log_level, style=_settings.log_format)
_log = structlog.get_logger(__name__)

# Names the folder of the workers' metrics; prometheus_client reads it on import.
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_DRAIN_SECONDS = 5
_READ_BYTES = 64 * 1024
# Extra threads of a process that may wait for slow clients. They are extra so that
# requests that have arrived completely still find a thread.
_MAX_SLOW_CLIENTS = 32
_RETRY_SECONDS = 1.0
# Connections of a process that do not wait for changes; gunicorn's default.
_CONNECTIONS = 1000
# Open files of a process that are no clients: of the database, streams, sockets, logs.
_OTHER_FILES = 500
# One byte that master and workers share: 1 once any worker has served.
_has_served = mmap.mmap(-1, 1)

bind = _settings.bind
workers = _settings.workers
worker_class = "gthread"
# A slow reader of a long listing keeps a thread, so streams have their own threads.
threads = _settings.threads + _settings.max_streams
worker_connections = _CONNECTIONS + _settings.max_waiting
keepalive = 65  # longer than nginx's, so that nginx closes idle connections first
timeout = 60
graceful_timeout = 30
control_socket_disable = True
# By default gunicorn uses any installed release of its C parser. That saves 1 to 15 µs
# a request, less than 3 %, but changes answers: the release that gunicorn[fast] asks
# for does not install, and 0.6.10 answers 400 instead of 431 and 501.
http_parser = "python"
# A search for 10,000 characters of 4 percent-encoded bytes takes 120,000 bytes, and
# nginx passes it on. gunicorn caps the limit at a lower maximum, so we raise both.
limit_request_line = gunicorn.http.message.MAX_REQUEST_LINE = 128 * 1024
# gunicorn parses all headers again after each 8 KiB. That takes 0.5 s for 250 headers
# of 8 KiB and 7 s for 1,000, so we allow 250.
limit_request_fields = 250
# By default gunicorn takes SCRIPT_NAME and PATH_INFO from headers of any client on the
# same machine, so we name no such header.
forwarder_headers = ""
logconfig_dict = logging_config(level=_settings.log_level, style=_settings.log_format)


def _request_timeout() -> type[Any]:
    # A replacement worker imports the application again, so the class is not constant.
    from chatstore.errors import RequestTimeout

    return RequestTimeout


class _Wait:
    """A thread's wait for `client`, which has been slow since `since` (monotonic)."""

    def __init__(self, client: socket.socket, since: float) -> None:
        self.client = client
        self.since = since
        self.is_over = False

    def end(self) -> None:
        """End the wait: the waiting thread reads an end of file."""
        self.is_over = True
        with suppress(OSError):
            self.client.shutdown(socket.SHUT_RD)


class _SlowClients:
    """The threads' waits for clients; past `max_waits`, the slowest client's ends."""

    def __init__(self, max_waits: int) -> None:
        self._max_waits = max_waits
        self._lock = threading.Lock()
        self._waits: set[_Wait] = set()

    @contextmanager
    def wait_for(self, client: socket.socket, *, since: float) -> Iterator[_Wait]:
        """Count the block as a wait for `client`, and yield this wait."""
        wait = _Wait(client, since)
        with self._lock:
            self._waits.add(wait)
            active = [each for each in self._waits if not each.is_over]
            if len(active) > self._max_waits:
                min(active, key=lambda each: each.since).end()
        try:
            yield wait
        finally:
            with self._lock:
                self._waits.discard(wait)


_slow_clients = _SlowClients(_MAX_SLOW_CLIENTS)


class _BoundedUnreader(SocketUnreader):  # type: ignore[misc]
    """gunicorn's socket reader, with a deadline for each request."""

    def __init__(self, source: socket.socket) -> None:
        super().__init__(source)
        self.started: float | None = None
        self.deadline = 0.0
        self.is_expired = False
        self.request: Any = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, b"" at the end; RequestTimeout at the deadline."""
        if self.is_expired:
            raise NoMoreData  # the next request's start is unknown: close
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
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            return None
        try:
            self.sock.settimeout(remaining)
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
        # When gunicorn closes, it waits for the client again, and all other clients
        # would wait too, so we shut the socket down.
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)
        raise _request_timeout()(
            "The request did not arrive whole in time"
            f" ({PREFIX}REQUEST_READ_SECONDS is {_settings.request_read_seconds}), or"
            " too many clients were slow at once."
        )

    def next_request(self) -> None:
        """Forget the finished request, so that the next one gets its own deadline."""
        self.started = self.request = None


# gunicorn's parser module is the only one that creates readers by this name.
gunicorn.http.parser.SocketUnreader = _BoundedUnreader


class _Worker(ParkingWorker):
    """gunicorn's threaded worker, in which no slow client blocks the main thread."""

    # A change may wake all waiting requests, so they use only a part of the threads.
    max_resumed = max(1, _settings.threads // 4)

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the thread pool, with `_MAX_SLOW_CLIENTS` extra threads."""
        return ThreadPoolExecutor(max_workers=threads + _MAX_SLOW_CLIENTS)

    def handle(self, conn: Any) -> Any:
        """Serve one request; close the connection in this thread unless it is kept."""
        is_kept = super().handle(conn)
        if not is_kept:
            # The main thread would wait 2 s for a client that does not close.
            with _slow_clients.wait_for(conn.sock, since=time.monotonic()):
                gunicorn.util.close_graceful(conn.sock)
            conn.close = _do_nothing
        return is_kept

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer 408 to a request that was not read in time."""
        if not isinstance(exc, _request_timeout()):
            super().handle_error(req, client, addr, exc)
            return
        _log.warning("request not read in time")
        with suppress(OSError):
            _send_problem(client, exc.status, exc.title, exc.detail)


def _do_nothing(*, graceful: bool = False) -> None:
    """Do nothing, because the serving thread has closed the connection."""


# gunicorn resolves `worker_class` to this name.
gthread.ThreadWorker = _Worker
# After this time, a connection without data goes back to the poller and frees a thread.
gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.1


class _Logger(gunicorn.glogging.Logger):  # type: ignore[misc]
    """gunicorn's logger without access lines, because the application writes them."""

    def access(self, *_: Any) -> None:
        """Write nothing; gunicorn's method would collect 20 values for each line."""


logger_class = _Logger


def _write_problem(
    client: Any, status: int, reason: str, message: str, *_: Any
) -> None:
    """Answer an unreadable request without gunicorn's text, which quotes the client."""
    detail = "The server could not read this as an HTTP request."
    _send_problem(client, status, reason, detail)


def _send_problem(client: Any, status: int, reason: str, detail: str) -> None:
    """Send problem details (RFC 9457) without the application."""
    request_id = uuid4().hex
    slug = "malformed-request" if status == 400 else reason.lower().replace(" ", "-")
    body = json.dumps(
        {
            "type": f"urn:chatstore:problem:{slug}",
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


# gunicorn has no other hook for its error page, which is HTML.
gunicorn.util.write_error = _write_problem


def on_starting(server: Any) -> None:
    """Allow enough open files, and create the folder of the workers' metrics.

    The folder is not created if the environment names one. Exits if `bind` would let
    everybody in.
    """
    if flaw := _settings.open_bind_flaw:
        _log.error(flaw)
        sys.exit(1)
    _allow_open_files(worker_connections + _OTHER_FILES)
    if _METRICS_VARIABLE not in os.environ:
        os.environ[_METRICS_VARIABLE] = tempfile.mkdtemp(prefix="chatstore-metrics-")
        server.chatstore_metrics = os.environ[_METRICS_VARIABLE]


def _allow_open_files(count: int) -> None:
    """Raise the soft limit of open files to `count`, as far as the hard limit allows.

    The soft limit is often 1,024, for programs that use select(); none of ours does.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        _log.warning("too few open files allowed", limit=hard, needed=count)
        count = hard
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _print_addresses(server_pid: int) -> None:
    """Print the addresses of the server and its docs, and how to stop it."""
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
    """Disable garbage collection during the import, whose objects all stay."""
    gc.disable()
    if _has_served[0]:
        # gunicorn stops the whole server if a worker cannot start. This worker replaces
        # another, perhaps between an installation and its migration, so it retries.
        worker.load_wsgi = partial(_reload_with_retries, worker, worker.load_wsgi)


def _reload_with_retries(worker: Any, load: Callable[[], None]) -> None:
    """Load the application; retry until that succeeds."""
    _unload_old_modules()

    def attempt() -> str | None:
        try:
            load()
        except Exception as error:
            _unload_old_modules()
            return f"{type(error).__name__}: {error}"
        return None

    _wait_until(worker, attempt)


def _unload_old_modules() -> None:
    # A worker inherits the modules of the version that the master started with. They
    # may not fit the installed version, so the worker imports all modules again.
    for name in [*sys.modules]:
        if name.partition(".")[0] == "chatstore":
            del sys.modules[name]


def _wait_until(worker: Any, attempt: Callable[[], str | None]) -> None:
    """Repeat `attempt` until it returns None; log the first objection it returns.

    Meanwhile the worker sends heartbeats and accepts no connection. It exits if it is
    told to stop or if its master has died.
    """
    is_logged = False
    while objection := attempt():
        if not is_logged:
            _log.error("worker waits", cause=objection)
            is_logged = True
        worker.notify()
        time.sleep(_RETRY_SECONDS)
        if not worker.alive or worker.ppid != os.getppid():
            sys.exit(0)


def post_worker_init(worker: Any) -> None:
    """Check the database's revision, then start unfinished background work.

    At a wrong revision a starting server stops. A replacement worker waits, while the
    other workers serve.
    """
    from gunicorn.arbiter import Arbiter

    from chatstore.db import db
    from chatstore.services.background import background_worker_of

    app = worker.wsgi
    with app.app_context():
        if _has_served[0]:
            _wait_until(worker, _find_wrong_revision)
        elif objection := _find_wrong_revision():
            _log.error(objection)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        db.engine.dispose()
    _has_served[0] = 1
    # All present objects stay, so we exempt them from garbage collection.
    gc.collect()
    gc.freeze()
    gc.enable()
    background_worker_of(app).start_purging()
    if worker.age == 1:
        _print_addresses(worker.ppid)


def _find_wrong_revision() -> str | None:
    """Return why the revision is wrong; None if it fits or the database is away.

    So is a database without the row security that the settings ask for.
    """
    from chatstore.db import db
    from chatstore.db.errors import db_error_text, is_unavailable
    from chatstore.db.revisions import check_revision
    from chatstore.errors import NoRowSecurity, WrongRevision
    from chatstore.store.row_security import check_row_security

    try:
        check_revision()
        if _settings.row_security:
            check_row_security()
    except (WrongRevision, NoRowSecurity) as error:
        return error.detail
    except Exception as error:
        if not is_unavailable(error):
            raise
        _log.warning("database away at the start", cause=db_error_text(error))
    finally:
        db.session.remove()
    return None


def pre_request(worker: Any, request: Any) -> None:
    """Stop this worker if its master has died; busy connections would keep the port."""
    if worker.ppid != os.getppid():
        worker.alive = False
    request.unreader.request = request


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Read the rest of a body that the application refused.

    gunicorn would read 64 KiB and close the connection, even after it announced
    keep-alive. nginx would then answer this request or the next with 502.
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
        for _ in range(0, 2 * _settings.max_body_bytes, _READ_BYTES):
            if not body.read(_READ_BYTES):
                return
    # The client is gone or slow, or sends nonsense or too much, so we close.
    unreader.is_expired = True


def child_exit(server: Any, worker: Any) -> None:
    """Remove the live gauges of a worker that has exited; its counters stay."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(server: Any) -> None:
    """Remove the folder that `on_starting` created."""
    if hasattr(server, "chatstore_metrics"):
        shutil.rmtree(server.chatstore_metrics, ignore_errors=True)
