"""Compares SQLite's own busy polling with chatstore's writer queue; no server.

Two processes of four threads insert 240-byte rows through the bare driver, each
thread on its own connection. `python -m bench.locks` is one such process.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chatstore.db.sqlite import WriterLock, driver

PROCESSES = 2
THREADS = 4
KINDS = ("polling", "queue")
PAUSES_MS = (0, 2)  # between inserts of a thread: none, or the rest of a request
_WAIT_SECONDS = 30  # to wait for the lock, in both kinds: chatstore's default
_START_SECONDS = 1.0


@dataclass(frozen=True)
class Waits:
    """All inserts of a round: sorted seconds, and the number of refusals.

    `shares` is the number of inserts per writer. It reveals a starved writer, whose few
    inserts hardly change percentiles over all inserts.
    """

    seconds: list[float]
    refused: int
    shares: list[int]


def connect(path: Path) -> Any:
    """Return a connection with chatstore's pragmas: WAL, synchronous=FULL."""
    connection = driver().connect(path, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {_WAIT_SECONDS * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def insert_until(
    stop_at: float,
    path: Path,
    *,
    turn: AbstractContextManager[None] | WriterLock,
    pause_seconds: float,
) -> Waits:
    """Insert rows until `stop_at`, one transaction each."""
    connection, seconds, refused = connect(path), [], 0
    while (begun := time.monotonic()) < stop_at:
        try:
            with turn.held() if isinstance(turn, WriterLock) else turn:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO rows (body) VALUES (?)", ["x" * 240])
                connection.execute("COMMIT")
        except driver().OperationalError:
            refused += 1
        seconds.append(time.monotonic() - begun)
        time.sleep(pause_seconds)
    connection.close()
    return Waits(seconds, refused, [len(seconds)])


def run_round(kind: str, *, pause_ms: int, seconds: float) -> Waits:
    """Return the waits of all threads of all processes, on a new database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.db"
        connection = connect(path)
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT)")
        connection.close()
        begin_at = time.monotonic() + _START_SECONDS
        times = [str(begin_at), str(begin_at + seconds), str(pause_ms / 1000)]
        workers = [_start([kind, str(path), *times]) for _ in range(PROCESSES)]
        answers = [json.loads(worker.communicate()[0]) for worker in workers]
    return _joined([Waits(**answer) for answer in answers])


def _joined(waits: list[Waits]) -> Waits:
    return Waits(
        sorted(sum((each.seconds for each in waits), [])),
        sum(each.refused for each in waits),
        sum((each.shares for each in waits), []),
    )


def _start(arguments: list[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.locks", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _work(
    kind: str, path: Path, *, begin_at: float, stop_at: float, pause_seconds: float
) -> Waits:
    lock = WriterLock(path, timeout_seconds=_WAIT_SECONDS)
    turn = lock if kind == "queue" else nullcontext()
    waits: list[Waits] = []

    def write() -> None:
        waits.append(
            insert_until(stop_at, path, turn=turn, pause_seconds=pause_seconds)
        )

    threads = [threading.Thread(target=write) for _ in range(THREADS)]
    time.sleep(max(0.0, begin_at - time.monotonic()))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _joined(waits)


def main() -> None:
    kind, path, begin_at, stop_at, pause = sys.argv[1:]
    done = _work(
        kind,
        Path(path),
        begin_at=float(begin_at),
        stop_at=float(stop_at),
        pause_seconds=float(pause),
    )
    json.dump(asdict(done), sys.stdout)


if __name__ == "__main__":
    main()
