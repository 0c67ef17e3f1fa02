"""What tests share: addresses, assertions, tools, and servers to talk to."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from sqlalchemy import func, select

from chatstore.clock import format_instant

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
API = "/api/v1"
SESSIONS = f"{API}/sessions/"
MISSING_ID = "00000000-0000-4000-8000-000000000000"
ANY_ID = ANY
JSON = {"Content-Type": "application/json"}


def session_url(chat: Any) -> str:
    return f"{API}/sessions/{chat['id'] if isinstance(chat, dict) else chat.id}"


def messages_url(chat: Any) -> str:
    return f"{session_url(chat)}/messages"


def need(tool: str, is_there: bool) -> None:
    """Skip the test, by the name of what is missing; in CI, fail it."""
    if is_there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{tool} is missing")
    pytest.skip(f"{tool} is missing")


def shared_data(name: str) -> Path:
    """Skip the test where this is missing, in CI too: it is an extra."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"shared data {name} is missing")
    return path


def parsed(texts: Iterable[str]) -> list[Any]:
    """Objects with what a list has of each row: JSON, of which the id may be a UUID."""
    rows = [json.loads(text) for text in texts]
    for row in rows:
        for name in {"id", "session_id"} & row.keys():
            row[name] = UUID(row[name]) if isinstance(row[name], str) else row[name]
    return [SimpleNamespace(**row) for row in rows]


def wait_for_deletions() -> None:
    """Wait until no thread of this process deletes what requests have hidden."""
    for thread in threading.enumerate():
        if thread.name == "background":
            thread.join(timeout=60)
            assert not thread.is_alive()


def count(db_session: Any, model: Any) -> int:
    return db_session.scalar(select(func.count()).select_from(model))


def assert_problem(
    response: Any, status: int, *, pointer: str | None = None, detail: str = ""
) -> dict[str, Any]:
    """Assert that the response is a whole RFC 9457 problem, and return it."""
    assert response.status_code == status, response.data
    assert response.content_type == "application/problem+json"
    problem = json.loads(response.data)
    assert problem["type"].startswith("urn:chatstore:problem:")
    assert problem["status"] == status
    assert problem["title"]
    assert re.search(detail, problem["detail"]), problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-Id"]
    if status == 422:
        assert problem["errors"]
        assert all({"pointer", "detail"} == set(each) for each in problem["errors"])
    else:
        assert "errors" not in problem
    if status == 405:
        assert response.headers["Allow"]
    if status in (429, 503):
        assert int(response.headers["Retry-After"]) > 0
    if pointer is not None:
        assert pointer in [each["pointer"] for each in problem["errors"]], problem
    return problem


class TickingClock:
    """A clock that goes on by one second whenever it is read."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        self.step = timedelta(seconds=1)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now

    @property
    def iso(self) -> str:
        """The last instant it gave, as the API sends it."""
        return format_instant(self.now)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def clean_environ(**variables: str) -> dict[str, str]:
    """The environment of a child process: ours, without chatstore's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHATSTORE_", "COV_", "PROMETHEUS_"))
    }
    return kept | variables


class LiveServer:
    """A real server, started by `chatstore serve` in a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.log_path = folder / "server.log"
        environ = clean_environ(
            CHATSTORE_BIND=f"127.0.0.1:{self.port}",
            CHATSTORE_LOG_FORMAT="json",
            **{f"CHATSTORE_{name.upper()}": value for name, value in settings.items()},
        )
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "chatstore", "serve", "--migrate"],
                cwd=folder,
                env=environ,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.greeting = self._read_greeting()

    def _read_greeting(self) -> list[str]:
        lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                return lines
        raise AssertionError(f"no server:\n{''.join(lines)}\n{self.log}")

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """The JSON lines of the log."""
        return [json.loads(each) for each in self.log.splitlines() if each[:1] == "{"]

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> "LiveResponse":
        """Send one request on a connection of its own; a body goes as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes | Iterator):
            body = json.dumps(body)
            sent = JSON | sent
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            return LiveResponse(connection.getresponse())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=40)
        assert self.process.stdout is not None
        self.process.stdout.close()


class LiveResponse:
    """An answer that was read to its end, with the names of Flask's test client."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status_code = response.status
        self.headers = response.headers
        self.data = response.read()
        self.content_type = response.headers.get("Content-Type")

    @property
    def json(self) -> Any:
        return json.loads(self.data)
