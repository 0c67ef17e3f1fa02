"""Real processes that use one database at the same time."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from chatstore.app import create_app
from chatstore.db import run_write
from chatstore.db.sqlite import WriterLock
from chatstore.settings import Settings
from chatstore.store.messages import append_message
from chatstore.store.sessions import get_session, update_session
from tests.support.environment import ROOT, clean_environ


def start_worker(job: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that prints "ready", then does the job once it reads a line."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.workers", job, *map(str, arguments)],
        cwd=ROOT,
        env=clean_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_workers(
    number: int,
    job: str,
    *arguments: object,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Do the job in `number` processes at once; fail if one of them fails."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(start_worker(job, *arguments)) for _ in range(number)
        ]
        for worker in workers:
            wait_for(worker, "ready")
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        meanwhile()
        for worker in workers:
            _, errors = worker.communicate(timeout=60)
            assert worker.returncode == 0, errors


def wait_for(worker: subprocess.Popen[str], word: str) -> None:
    line = worker.stdout.readline()
    assert line.strip() == word, line + worker.stderr.read()


def append(url: str, session_id: str, owner_id: str, threads: str, each: str) -> None:
    """Append `each` messages in each of several threads."""

    def add(number: int) -> None:
        run_write(
            append_message, UUID(session_id), owner_id=owner_id, content=str(number)
        )

    _in_threads(add, url, threads=int(threads), each=int(each))


def count_up(url: str, session_id: str, owner_id: str, threads: str, each: str) -> None:
    """Read a number from the session's name and write the next, in one transaction."""

    def read_then_write() -> None:
        chat = get_session(UUID(session_id), owner_id=owner_id)
        changes = {"name": str(int(chat.name or "0") + 1)}
        update_session(chat.id, owner_id=owner_id, changes=changes)

    def add(_: int) -> None:
        run_write(read_then_write)

    _in_threads(add, url, threads=int(threads), each=int(each))


def count_in_file(database: str, counter: str, each: str) -> None:
    """Count in a file that only the writer lock protects."""
    lock = WriterLock(Path(database), timeout_seconds=60)
    _ready()
    for _ in range(int(each)):
        with lock.held():
            number = int(Path(counter).read_text())
            Path(counter).write_text(str(number + 1))


def hold_lock(database: str) -> None:
    """Hold the writer lock until a line arrives or the process is killed."""
    with WriterLock(Path(database), timeout_seconds=60).held():
        _ready()


def _in_threads(
    work: Callable[[int], None], url: str, *, threads: int, each: int
) -> None:
    app = create_app(Settings(database_url=url, secret_key="x", threads=threads))

    def run(number: int) -> None:
        for turn in range(each):
            with app.app_context():
                work(number * each + turn)

    _ready()
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(run, number) for number in range(threads)]:
            done.result()


def _ready() -> None:
    print("ready", flush=True)  # noqa: T201, the parent waits for this line
    sys.stdin.readline()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
