"""The effect of deleting a large session on concurrent writers."""

import threading
import time

from bench.contenders import TEXT, Client
from bench.inside import is_deleting
from bench.numbers import percentile
from bench.pairs import append

_WRITERS = 4
_ALONE_SECONDS = 3.0
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 300


def measure_deletion(port: int, url: str, messages: int) -> dict[str, float]:
    """Delete a session of `messages` messages while other clients append.

    `seconds` is the time to the response, `seconds_until_gone` the time until the last
    row is deleted.
    """
    with Client(port) as client:
        path = client.create_session(messages)
    alone = _write_until(port, _after(_ALONE_SECONDS))
    done = threading.Event()
    took: list[float] = []
    deleter = threading.Thread(target=_delete, args=(port, url, path, done, took))
    deleter.start()
    during = _write_until(port, done)
    deleter.join()
    if not took:
        raise RuntimeError("the session was not deleted, or not to its end")
    return {
        "seconds": took[0],
        "seconds_until_gone": took[1],
        "others_p99_alone_ms": percentile(alone, 99),
        "others_p99_during_ms": percentile(during, 99),
        "others_max_during_ms": during[-1],
    }


def _delete(
    port: int, url: str, path: str, done: threading.Event, took: list[float]
) -> None:
    try:
        with Client(port) as client:
            begun = time.perf_counter()
            status, _ = client.send("DELETE", f"{path}?purge=true")
            answered = time.perf_counter() - begun
            while status == 204 and is_deleting(url):
                if time.perf_counter() - begun > _PATIENCE_SECONDS:
                    return
                time.sleep(_LOOK_SECONDS)
            if status == 204:
                took += [answered, time.perf_counter() - begun]
    finally:
        done.set()


def _after(seconds: float) -> threading.Event:
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.start()
    return over


def _write_until(port: int, over: threading.Event) -> list[float]:
    """Append from several clients until `over` is set; return sorted milliseconds."""
    times: list[list[float]] = [[] for _ in range(_WRITERS)]

    def write(number: int) -> None:
        with Client(port) as client:
            path = client.create_session()
            while True:  # each client appends at least once, and the last append counts
                begun = time.perf_counter()
                append(client, path, TEXT)
                times[number].append((time.perf_counter() - begun) * 1000)
                if over.is_set():
                    return

    threads = [threading.Thread(target=write, args=(n,)) for n in range(_WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(sum(times, []))
