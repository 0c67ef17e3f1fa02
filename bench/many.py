"""Idle connections, slow readers and normal load at once: `python -m bench.many`.

500 connections stay open, 64 clients read lists of 10,000 messages slowly, and eight
clients send normal load. Promised: no error, and at most three times the p99 alone.
"""

import argparse
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bench.contenders import Client, requests_for
from bench.databases import KINDS, Databases, databases
from bench.load import CONNECTIONS, Answers, Request, send
from bench.numbers import Spread
from bench.results import progress, read_results, write_results
from bench.server import Running, running_chatstore
from bench.streams import start_and_rest

IDLE, SLOW = 500, 64
_LISTED = 10_000
_REST_SECONDS = 5
_PIECE, _PIECES_PER_SECOND = 16_384, 4
_FIGURES = ("get session", "100 messages", "append")


def measure(
    made: Databases, kind: str, *, rounds: int, seconds: float
) -> dict[str, Any]:
    """Return the figures of normal load, alone and in the crowd, and the troubles."""
    url = made.new_url(kind)
    with running_chatstore(database_url=url):
        pass  # runs the migrations, which the measured start must not include
    with running_chatstore(database_url=url) as server:
        time.sleep(_REST_SECONDS)  # the second worker may still be starting
        found: dict[str, Any] = {"start": start_and_rest(server)}
        requests = requests_for("chatstore", server.port)
        with Client(server.port) as client:
            listed = client.create_session(_LISTED)
        alone: dict[str, list[Answers]] = {name: [] for name in _FIGURES}
        among: dict[str, list[Answers]] = {name: [] for name in _FIGURES}
        troubles: list[str] = []
        for number in range(1, rounds + 1):
            progress(f"many, {kind}: round {number} of {rounds}")
            _load(server, requests, seconds, alone)
            with _crowd(server, listed, troubles):
                _load(server, requests, seconds, among)
        progress("")
        found["after"] = start_and_rest(server)["idle_worker_mb"]
    found["normal load"] = {
        name: _compared(alone[name], among[name]) for name in _FIGURES
    }
    return found | {"troubles": len(troubles), "first troubles": troubles[:3]}


def _load(
    server: Running,
    requests: dict[str, Request],
    seconds: float,
    found: dict[str, list[Answers]],
) -> None:
    for name in _FIGURES:
        answers = send(
            server.port, requests[name], seconds=seconds, connections=CONNECTIONS
        )
        found[name].append(answers)


def _compared(alone: list[Answers], among: list[Answers]) -> dict[str, Any]:
    return {
        "alone_p99_ms": Spread.of(each.p99_ms for each in alone),
        "among_p99_ms": Spread.of(each.p99_ms for each in among),
        "alone_per_second": Spread.of(each.per_second for each in alone),
        "among_per_second": Spread.of(each.per_second for each in among),
        "ratio": Spread.of(
            b.p99_ms / a.p99_ms for a, b in zip(alone, among, strict=True)
        ),
        "errors": sum(each.errors for each in among),
    }


@contextmanager
def _crowd(server: Running, listed: str, troubles: list[str]) -> Iterator[None]:
    """Keep idle connections and slow readers open while the block runs."""
    over = threading.Event()
    readers = [
        threading.Thread(
            target=_read_slowly, args=(server.port, listed, over, troubles)
        )
        for _ in range(SLOW)
    ]
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(contextlib.closing(_kept(server.port, troubles)))
        for reader in readers:
            reader.start()
        time.sleep(_REST_SECONDS)  # until all lists are being sent
        try:
            yield
        finally:
            over.set()
            for reader in readers:
                reader.join()


def _kept(port: int, troubles: list[str]) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        troubles.append(f"/healthz: {response.status}")
    return connection


def _read_slowly(
    port: int, path: str, over: threading.Event, troubles: list[str]
) -> None:
    """Read a list slowly; as fast as possible once `over` is set.

    A list that starts after `over` is fine; any answer but the whole list is a trouble.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        try:
            connection.connect()
            # A small receive buffer keeps the server from sending all at once.
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.request("GET", f"{path}/messages")
            response = connection.getresponse()
            read = b""
            while piece := response.read(_PIECE):
                read += piece
                over.wait(1 / _PIECES_PER_SECOND)
            if response.status != 200:
                troubles.append(f"listing: {response.status} {read[:200]!r}")
            elif len(json.loads(read)["messages"]) != _LISTED:
                troubles.append("listing: not all messages")
        except (OSError, http.client.HTTPException, ValueError) as error:
            troubles.append(f"listing: {error!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    # A run on one kind of database must not lose the figures of the other.
    found = (read_results("many") or {"databases": {}})["databases"]
    how = {"rounds": options.rounds, "seconds": options.seconds}
    with databases() as made:
        for kind in options.database or KINDS:
            found[kind] = measure(
                made, kind, rounds=options.rounds, seconds=options.seconds
            )
            print(json.dumps({kind: found[kind]}, indent=1, default=vars))
            write_results("many", {"how": how, "databases": found})


if __name__ == "__main__":
    main()
