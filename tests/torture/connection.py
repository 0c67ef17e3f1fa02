"""One client's persistent connection: its requests and their replies."""

import http.client
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

# Shorter than a process is stopped for, so that some calls time out.
TIMEOUT_SECONDS = 4.0
_RECONNECT_SECONDS = 0.02


class Abandoned(Exception):
    """The run is over and the server cannot be reached."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply: a status, or None with the reason in `error`."""

    status: int | None
    headers: Mapping[str, str]
    body: Any
    error: str = ""

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


class Connection:
    """Sends one request at a time on a kept connection."""

    def __init__(self, port: int, abandon: threading.Event) -> None:
        self._http = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=TIMEOUT_SECONDS
        )
        self._abandon = abandon

    def connect(self) -> None:
        """Wait for the server; a request not sent yet has no unknown outcome."""
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
        """Send one request and read its whole reply."""
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
