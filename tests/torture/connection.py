"""One client's persistent connection: what was asked, and what is known of it."""

import http.client
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

# Shorter than a process is stopped for, so that some calls are given up.
TIMEOUT_SECONDS = 4.0
_RECONNECT_SECONDS = 0.02


class Abandoned(Exception):
    """The run is over, and the server is not there."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a status, or None and the error why not."""

    status: int | None
    headers: Mapping[str, str]
    body: Any
    error: str = ""

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


class Connection:
    """Asks one request at a time, on a connection that is kept."""

    def __init__(self, port: int, abandon: threading.Event) -> None:
        self._http = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=TIMEOUT_SECONDS
        )
        self._abandon = abandon

    def connect(self) -> None:
        """Wait until there is a server; what has not been sent is not unknown."""
        while self._http.sock is None:
            if self._abandon.is_set():
                raise Abandoned
            try:
                self._http.connect()
            except OSError:
                self._abandon.wait(_RECONNECT_SECONDS)

    def ask(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> Reply:
        """Send one request and read its whole answer."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = orjson.dumps(body) if body is not None else None
        try:
            self._http.request(method, path, data, headers)
            response = self._http.getresponse()
            answer = response.read()
        except TimeoutError:
            return self._failed("timeout")
        except (OSError, http.client.HTTPException) as error:
            return self._failed(type(error).__name__)
        headers = dict(response.headers)
        try:
            return Reply(response.status, headers, orjson.loads(answer))
        except orjson.JSONDecodeError:
            return Reply(response.status, headers, None, "no JSON")

    def _failed(self, error: str) -> Reply:
        self.close()
        return Reply(None, {}, None, error)

    def close(self) -> None:
        if isinstance(self._http.sock, socket.socket):
            self._http.close()
