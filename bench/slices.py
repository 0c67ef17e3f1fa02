"""Sends small requests on kept connections for a fraction of a second.

wrk runs for whole seconds and connects for each run. Here the same connections serve
several slices, so both sides meet the same workers and the same disturbances.
"""

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

_PATIENCE_SECONDS = 60
_MOST_BYTES = 65536


@dataclass(frozen=True)
class Slice:
    """The results of one slice; `errors` counts statuses of 400 or more."""

    per_second: float
    errors: int


@dataclass(eq=False)
class Connection:
    """A socket, its number, and the bytes of the answer so far."""

    socket: socket.socket
    number: int
    answer: bytearray = field(default_factory=bytearray)

    def send(self, request: bytes) -> None:
        """Send a request; the previous answer must be complete."""
        self.answer.clear()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """Read available bytes; return the status once the answer is complete."""
        arrived = self.socket.recv(_MOST_BYTES)
        if not arrived:
            raise ConnectionError("the server closed a connection")
        self.answer += arrived
        return status_of(self.answer)


def status_of(answer: bytes | bytearray) -> int | None:
    """Return the status of an HTTP answer; None while bytes are missing."""
    head, end, body = bytes(answer).partition(b"\r\n\r\n")
    if not end:
        return None
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return int(head.split(b" ")[1]) if len(body) >= int(length) else None


@contextmanager
def connected(port: int, count: int) -> Iterator[list[Connection]]:
    """Yield `count` open connections to a server."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS)
            )
            for _ in range(count)
        ]
        yield [Connection(each, number) for number, each in enumerate(sockets)]


def send_for(
    connections: list[Connection], request: Callable[[int], bytes], seconds: float
) -> Slice:
    """Send `request(number)` repeatedly on each connection for `seconds`.

    The slice ends with its last answer, so none of its requests runs in the next slice.
    """
    answered = errors = 0
    begun = time.perf_counter()
    with selectors.DefaultSelector() as arriving:
        for each in connections:
            arriving.register(each.socket, selectors.EVENT_READ, each)
            each.send(request(each.number))
        while arriving.get_map():
            ready = arriving.select(_PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError("the server does not answer")
            for key, _ in ready:
                status = key.data.receive()
                if status is None:
                    continue
                answered += 1
                errors += status >= 400
                if time.perf_counter() - begun < seconds:
                    key.data.send(request(key.data.number))
                else:
                    arriving.unregister(key.fileobj)
    return Slice((answered - errors) / (time.perf_counter() - begun), errors)
