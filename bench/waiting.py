"""Many clients that wait for changes, and normal load: `python -m bench.waiting`.

500 clients of two processes wait for changes (`GET /api/v1/changes?wait=30`) and ask
again after each answer. Promised: an append reaches all of them within a second, and
the p99 of normal load is at most twice the p99 alone. They all belong to one owner, so
each append of the normal load wakes all of them: the worst case.
"""

import argparse
import contextlib
import http.client
import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.contenders import Client, requests_for
from bench.databases import KINDS, Databases, databases
from bench.load import CONNECTIONS, Answers, send
from bench.numbers import Spread
from bench.results import progress, read_results, write_results
from bench.server import Running, running_chatstore

WAITING = 500
FIGURES = ("get session", "100 messages", "append")
_PATH = "/api/v1/changes"
_PATIENCE_SECONDS = 60


class _Waiter:
    """One client on its own connection; `answered_at` is when its last change came."""

    def __init__(self, port: int, token: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.answered_at = 0.0
        self._received = b""
        self._ask(token)

    def _ask(self, token: str) -> None:
        line = f"GET {_PATH}?since={token}&wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.socket.sendall(line.encode())

    def read(self) -> None:
        """Read what has come; ask again after a whole answer. Raises ValueError."""
        data = self.socket.recv(65536)
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not data or not head.startswith(b"HTTP/1.1 200 "[: len(head)]):
            raise ValueError(f"{self._received[:300]!r}")
        length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
        if not found or len(body) < int(length):
            return
        self._received = b""
        page = json.loads(body)
        if page["changes"]:
            self.answered_at = time.perf_counter()
        self._ask(page["next"])


class _Crowd:
    """The waiting clients, which a thread serves until `stop`."""

    def __init__(self, port: int, count: int) -> None:
        token = _get(port, _PATH)["next"]
        self.waiters = [_Waiter(port, token) for _ in range(count)]
        self.troubles: list[str] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for waiter in self.waiters:
                selector.register(waiter.socket, selectors.EVENT_READ, waiter)
            while not self._is_over:
                for key, _ in selector.select(0.1):
                    try:
                        key.data.read()
                    except (OSError, ValueError) as error:
                        self.troubles.append(repr(error))
                        selector.unregister(key.fileobj)

    def stop(self) -> None:
        self._is_over = True
        self._thread.join()
        for waiter in self.waiters:
            waiter.socket.close()


@contextmanager
def _crowd(port: int, count: int, troubles: list[str]) -> Iterator[_Crowd]:
    crowd = _Crowd(port, count)
    try:
        _wait_for_all(port, count)
        yield crowd
    finally:
        crowd.stop()
        troubles += crowd.troubles
        _wait_for_all(port, 0)


def _get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        body = connection.getresponse().read()
    return json.loads(body) if path == _PATH else body.decode()


def _wait_for_all(port: int, count: int) -> None:
    """Wait until `count` requests wait."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while f"\nchatstore_waiting_requests {count:.1f}\n" not in _get(port, "/metrics"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not {count} requests wait")
        time.sleep(0.05)


def measure(
    made: Databases, kind: str, *, rounds: int, appends: int, seconds: float
) -> dict[str, Any]:
    """Return how soon appends reach all, and normal load with and without them."""
    troubles: list[str] = []
    with running_chatstore(database_url=made.new_url(kind), workers=2) as server:
        requests = requests_for("chatstore", server.port)
        with Client(server.port) as client:
            path = client.create_session(1)
        reached = _reach(server, path, appends, troubles)
        alone: dict[str, list[Answers]] = {name: [] for name in FIGURES}
        among: dict[str, list[Answers]] = {name: [] for name in FIGURES}
        for number in range(1, rounds + 1):
            progress(f"waiting, {kind}: round {number} of {rounds}")
            for name in FIGURES:
                arguments = {"seconds": seconds, "connections": CONNECTIONS}
                alone[name].append(send(server.port, requests[name], **arguments))
                with _crowd(server.port, WAITING, troubles):
                    among[name].append(send(server.port, requests[name], **arguments))
        progress("")
    return {
        "seconds until all are reached": Spread.of(reached),
        "normal load": {
            name: {
                "alone_p99_ms": Spread.of(each.p99_ms for each in alone[name]),
                "among_p99_ms": Spread.of(each.p99_ms for each in among[name]),
                "ratio": Spread.of(
                    b.p99_ms / a.p99_ms
                    for a, b in zip(alone[name], among[name], strict=True)
                ),
                "alone_per_second": Spread.of(each.per_second for each in alone[name]),
                "among_per_second": Spread.of(each.per_second for each in among[name]),
                "errors": sum(each.errors for each in among[name]),
            }
            for name in FIGURES
        },
        "troubles": len(troubles),
        "first troubles": troubles[:3],
    }


def _reach(
    server: Running, path: str, appends: int, troubles: list[str]
) -> list[float]:
    """Append `appends` times; return the seconds until all clients knew each."""
    found = []
    with _crowd(server.port, WAITING, troubles) as crowd, Client(server.port) as client:
        for number in range(1, appends + 1):
            progress(f"waiting: append {number} of {appends}")
            _wait_for_all(server.port, WAITING)
            client.send("POST", f"{path}/messages", {"content": "hi"})
            appended_at = time.perf_counter()
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while any(each.answered_at < appended_at for each in crowd.waiters):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not all reached: {crowd.troubles[:3]}")
                time.sleep(0.005)
            last = max(each.answered_at for each in crowd.waiters)
            found.append(last - appended_at)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--appends", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    # A run on one kind of database must not lose the figures of the other.
    found = (read_results("waiting") or {"databases": {}})["databases"]
    how = {
        "clients": WAITING,
        "rounds": options.rounds,
        "appends": options.appends,
        "seconds": options.seconds,
    }
    with databases() as made:
        for kind in options.database or KINDS:
            found[kind] = measure(
                made,
                kind,
                rounds=options.rounds,
                appends=options.appends,
                seconds=options.seconds,
            )
            print(json.dumps({kind: found[kind]}, indent=1, default=vars))
            write_results("waiting", {"how": how, "databases": found})


if __name__ == "__main__":
    main()
