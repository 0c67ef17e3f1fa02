"""Sends one request to a server that the settings name, within a time and a size."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What the server answered; a redirect is an answer like any other."""

    status: int
    body: bytes

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; raises ValueError, with a predicate."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            raise ValueError("is not JSON") from None
        if not isinstance(found, dict):
            raise ValueError("is no JSON object")
        return found


def exchange(
    url: str,
    *,
    seconds: float,
    max_bytes: int,
    headers: Mapping[str, str],
    form: str | None = None,
) -> Answer:
    """Return the answer at `url`, to a POST if there is a `form`.

    Raises OSError, http.client.HTTPException, and ValueError for an answer of more than
    `max_bytes`. The time runs from the connection on.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = (parts.hostname or "", port)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            *address, timeout=seconds, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(*address, timeout=seconds)
    connection.connect()
    # The timeout of a socket bounds one read, so a slow answer could take hours. The
    # timer ends the connection.
    has_ended = threading.Event()
    timer = threading.Timer(seconds, _end, [connection.sock, has_ended])
    timer.daemon = True
    timer.start()
    try:
        path = parts.path or "/"
        query = f"?{parts.query}" if parts.query else ""
        method = "GET" if form is None else "POST"
        connection.request(method, path + query, body=form, headers=dict(headers))
        with connection.getresponse() as response:
            status, body = response.status, response.read(max_bytes + 1)
    finally:
        timer.cancel()
        connection.close()
    if has_ended.is_set():  # what came so far may look whole
        raise TimeoutError
    if len(body) > max_bytes:
        raise ValueError(f"has more than {max_bytes} bytes")
    return Answer(status, body)


def _end(connection: socket.socket, has_ended: threading.Event) -> None:
    has_ended.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
