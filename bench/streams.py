"""The cost of a list without a limit: the server's memory, and the first byte."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.server import Running, resident_bytes

_PIECE = 1 << 18
_LOOK_SECONDS = 0.02


def measure_stream(server: Running, path: str) -> dict[str, float]:
    """Read all messages of the session at `path`, and one short page for comparison."""
    _read_stream(server.port, f"{path}/messages?limit=1000")
    with _watched(server) as grown:
        first, whole, size = _read_stream(server.port, f"{path}/messages")
    return {
        "first_byte_ms": first * 1000,
        "seconds": whole,
        "bytes": size,
        "worker_grew_mb": max(grown) / 1e6,
    }


def _read_stream(port: int, path: str) -> tuple[float, float, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    begun = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    size = len(response.read(1))
    first = time.perf_counter() - begun
    last = b""
    while piece := response.read(_PIECE):
        size, last = size + len(piece), (last + piece)[-40:]
    if not last.endswith(b"}") or b'"has_more":' not in last:
        raise RuntimeError(f"{path} broke off")
    connection.close()
    return first, time.perf_counter() - begun, size


@contextmanager
def _watched(server: Running) -> Iterator[list[float]]:
    """Yield a list; at the end, it gets the peak growth of each worker."""
    before = {pid: resident_bytes(pid) for pid in server.workers()}
    most = dict(before)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            for pid in most:
                most[pid] = max(most[pid], resident_bytes(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    grown: list[float] = []
    try:
        yield grown
    finally:
        done.set()
        watcher.join()
    grown.extend(most[pid] - before[pid] for pid in before)


def start_and_rest(server: Running) -> dict[str, Any]:
    """Return the duration of the start and the memory of the idle workers."""
    return {
        "seconds_to_first_answer": server.seconds_to_first_answer,
        "idle_worker_mb": [resident_bytes(pid) / 1e6 for pid in server.workers()],
    }
