"""The servers measured over HTTP: how each starts, and the data it is filled with."""

import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.databases import POSTGRESQL, SQLITE, Databases
from bench.load import CONNECTIONS, Request
from bench.server import (
    ROOT,
    Running,
    clean_environ,
    free_port,
    running_ceiling,
    running_chatstore,
    started,
)

CEILING = "ceiling"
TEXT = "x" * 240
LISTED_MESSAGES, LISTED_SESSIONS, BATCH = 100, 50, 100
KEYED = "append with a key"
FIGURES = (
    *("get session", "100 messages", "50 sessions"),
    *("append", KEYED, "batch of 100"),
)
PEERS_PYTHON = ROOT / os.environ.get("VENV_PEERS", ".venv-peers") / "bin" / "python"
_SESSIONS = "/api/v1/sessions/"
_IDLE_SECONDS = 30


@dataclass(frozen=True)
class Contender:
    """One server in the comparison; `start` is a context manager that runs it."""

    name: str
    start: Callable[[], AbstractContextManager[Running]]


def contenders(made: Databases, *, with_peers: bool) -> list[Contender]:
    """Return the ceiling, chatstore on both databases and, if asked, the peers."""
    ours = [
        Contender(f"chatstore, {kind}", lambda kind=kind: _chatstore(made, kind))
        for kind in (SQLITE, POSTGRESQL)
    ]
    peers = [
        Contender(f"FastAPI peer, {kind}", lambda kind=kind: _fastapi(made, kind))
        for kind in (SQLITE, POSTGRESQL)
        if with_peers
    ]
    return [Contender(CEILING, running_ceiling), *ours, *peers]


def _chatstore(made: Databases, kind: str) -> AbstractContextManager[Running]:
    return running_chatstore(database_url=made.new_url(kind))


@contextmanager
def _fastapi(made: Databases, kind: str) -> Iterator[Running]:
    if not PEERS_PYTHON.exists():
        raise RuntimeError("its virtual environment is missing: make .venv-peers/.done")
    environ = clean_environ(DATABASE_URL=made.new_url(kind))
    python, folder = str(PEERS_PYTHON), Path(__file__).parent / "peers"
    subprocess.run([python, "fastapi_app.py"], cwd=folder, env=environ, check=True)
    port = free_port()
    command = [python, "-m", "uvicorn", "fastapi_app:app", "--workers", "2"]
    command += ["--port", str(port), "--log-level", "error", "--no-access-log"]
    with started(
        command, port=port, environ=environ, folder=folder, first_path=_SESSIONS
    ) as running:
        yield running


class Client:
    """One keep-alive connection, to fill a server and to time a single client."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        self._used_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Send one request; return the status and the body of the answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._connection.close()  # the next request opens a new connection
        self._used_at = time.monotonic()
        self._connection.request(method, path, data, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def create_session(self, messages: int = 0) -> str:
        """Create a session with this number of messages; return its path."""
        status, body = self.send("POST", _SESSIONS, {"name": "A chat"})
        if status != 201:
            raise RuntimeError(f"a session was refused: {status} {body!r}")
        path = f"{_SESSIONS}{json.loads(body)['id']}"
        for first in range(0, messages, 1000):
            turns = [{"content": TEXT}] * min(1000, messages - first)
            status, body = self.send(
                "POST", f"{path}/messages/batch", {"messages": turns}
            )
            if status != 201:
                raise RuntimeError(f"a batch was refused: {status} {body[:500]!r}")
        return path

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def requests_for(name: str, port: int) -> dict[str, Request]:
    """Fill the server; return the request to send for each figure.

    Each connection appends to its own session and reads its own session.
    """
    if name == CEILING:
        return _ceiling_requests()
    client = Client(port)
    read = [client.create_session(LISTED_MESSAGES) for _ in range(CONNECTIONS)]
    for _ in range(LISTED_SESSIONS):
        client.create_session(1)
    append, keyed, batch = (
        [client.create_session() for _ in range(CONNECTIONS)] for _ in range(3)
    )
    client.close()
    turns = [{"content": TEXT}] * BATCH
    return {
        "get session": Request(read),
        "100 messages": Request([f"{each}/messages?limit=100" for each in read]),
        "50 sessions": Request([f"{_SESSIONS}?limit=50"]),
        "append": Request([f"{each}/messages" for each in append], {"content": TEXT}),
        KEYED: Request(
            [f"{each}/messages" for each in keyed], {"content": TEXT}, is_keyed=True
        ),
        "batch of 100": Request(
            [f"{each}/messages/batch" for each in batch], {"messages": turns}
        ),
    }


def _ceiling_requests() -> dict[str, Request]:
    # Flask reads request bodies too, so the ceiling gets the same body.
    bodies: dict[str, Any] = dict.fromkeys(("append", KEYED), {"content": TEXT})
    bodies["batch of 100"] = {"messages": [{"content": TEXT}] * BATCH}
    return {each: Request(["/"], bodies.get(each)) for each in FIGURES}
