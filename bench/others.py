"""Small requests of other clients, and the longest time that one of them waits."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from bench.contenders import TEXT, Client

_PAUSE_SECONDS = 0.005
_PATIENCE_SECONDS = 120
_BODY = json.dumps({"content": TEXT}).encode()


@dataclass
class Waits:
    """The milliseconds of all requests, and how many were refused or broke off."""

    ms: list[float] = field(default_factory=list)
    failed: int = 0

    def add(self, send: Callable[[], int]) -> None:
        """Send one request; record its time and whether it failed."""
        begun = time.perf_counter()
        try:
            has_failed = send() >= 400
        except (OSError, http.client.HTTPException):
            has_failed = True
        self.ms.append((time.perf_counter() - begun) * 1000)
        self.failed += has_failed


@contextmanager
def small_requests(port: int) -> Iterator[dict[str, Waits]]:
    """While the block runs, append to a session, get another, and GET /healthz.

    Each request opens a new connection, so that accepting it is measured too. Requests
    still running when the block ends count.
    """
    with Client(port) as client:
        written, read = (client.create_session() for _ in range(2))
    requests: dict[str, tuple[str, str, bytes | None]] = {
        "append": ("POST", f"{written}/messages", _BODY),
        "get session": ("GET", read, None),
        "health": ("GET", "/healthz", None),
    }
    waits, over = {name: Waits() for name in requests}, threading.Event()

    def repeat(name: str) -> None:
        while True:
            waits[name].add(lambda: send_once(port, *requests[name]))
            if over.wait(_PAUSE_SECONDS):
                return

    threads = [threading.Thread(target=repeat, args=[each]) for each in requests]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        over.set()
        for thread in threads:
            thread.join()


def send_once(port: int, method: str, path: str, body: bytes | None = None) -> int:
    """Send one request on its own connection; return the status."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=_PATIENCE_SECONDS
    )
    headers = {"Content-Type": "application/json"} if body else {}
    with closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
