"""A TCP proxy to PostgreSQL that drops connections at chosen statements.

It relies on two facts of the protocol: a client sends one statement at a time as
plain text, and the server ends each answer with ReadyForQuery.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy.engine import make_url

from chatstore.app import create_app
from chatstore.db import db
from tests.support.databases import make_settings

_READY_FOR_QUERY = b"Z\x00\x00\x00\x05"
_DEADLINE_SECONDS = 20


class Lost(Enum):
    """When the connection drops, relative to the statement."""

    BEFORE = "before it reached the server: it is not done"
    AFTER = "after the server was done with it, before the client knew"
    ON_THE_WAY = "while it is under way: it arrives after `let_through`"


@dataclass
class _Fault:
    statement: bytes
    lost: Lost
    times: int


class DatabaseProxy:
    """Forwards bytes between clients and the server's socket until a fault is due."""

    def __init__(self, server_socket: Path) -> None:
        self._server_socket = server_socket
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._links: list[_Link] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = _start(self._accept)
        self.arrival = threading.Event()
        self.cuts = 0

    @property
    def port(self) -> int:
        """The proxy's port on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    def lose(self, statement: str, lost: Lost, *, times: int = 1) -> None:
        """Drop the connection at the next `times` statements that contain this text."""
        with self._lock:
            self._faults.append(_Fault(statement.encode(), lost, times))

    def let_through(self) -> None:
        """Forward the statements held by ON_THE_WAY."""
        self.arrival.set()

    def close(self) -> None:
        """Close every connection; return when all threads have ended."""
        self.arrival.set()
        _cut(self._listener)
        self._acceptor.join(_DEADLINE_SECONDS)
        self._listener.close()
        for link in self._links:
            link.close()

    def due(self, statement: bytes) -> Lost | None:
        """Return the fault due at this statement and count it, or return None."""
        with self._lock:
            for fault in self._faults:
                if fault.times and fault.statement in statement:
                    fault.times -= 1
                    self.cuts += 1
                    return fault.lost
        return None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the listener was closed
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server_socket))
            self._links.append(_Link(self, client, server))


@contextmanager
def behind_proxy(database_url: str) -> Iterator[tuple[DatabaseProxy, FlaskClient]]:
    """Yield a proxy to this database, and a client of an application that uses it."""
    direct = make_url(database_url)
    proxy = DatabaseProxy(Path(str(direct.query["host"])) / ".s.PGSQL.5432")
    proxied = direct.set(host="127.0.0.1", port=proxy.port, query={})
    app = create_app(make_settings(proxied.render_as_string(hide_password=False)))
    try:
        yield proxy, app.test_client()
    finally:
        with app.app_context():
            db.engine.dispose()
        proxy.close()


class _Link:
    """One client connection and its connection to the server."""

    def __init__(
        self, proxy: DatabaseProxy, client: socket.socket, server: socket.socket
    ) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._swallows_answer = False
        self._threads = [_start(self._read_client), _start(self._read_server)]

    def close(self) -> None:
        _cut(self._client, self._server)
        for thread in self._threads:
            thread.join(_DEADLINE_SECONDS)
        self._client.close()
        self._server.close()

    def _read_client(self) -> None:
        with suppress(OSError):  # the server closed first
            for sent in _chunks(self._client):
                lost = self._proxy.due(sent)
                if lost is Lost.BEFORE:
                    break
                if lost is None:
                    self._server.sendall(sent)
                    continue
                self._swallows_answer = True
                if lost is Lost.ON_THE_WAY:
                    _cut(self._client)
                    self._proxy.arrival.wait(_DEADLINE_SECONDS)
                self._server.sendall(sent)
                return  # the thread that reads the answer closes both ends
        _cut(self._client, self._server)

    def _read_server(self) -> None:
        swallowed = b""
        with suppress(OSError):  # the client closed first
            for answer in _chunks(self._server):
                if not self._swallows_answer:
                    self._client.sendall(answer)
                    continue
                swallowed += answer
                if _READY_FOR_QUERY in swallowed:
                    break
        _cut(self._client, self._server)


def _chunks(connection: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            chunk = connection.recv(1 << 20)
        except OSError:
            return
        if not chunk:
            return
        yield chunk


def _cut(*connections: socket.socket) -> None:
    for connection in connections:
        with suppress(OSError):  # the other end closed first
            connection.shutdown(socket.SHUT_RDWR)


def _start(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
