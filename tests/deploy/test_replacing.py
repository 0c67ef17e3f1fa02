"""Replacing workers and whole servers under load fails no request."""

import os
import shutil
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support import (
    SESSIONS,
    LiveResponse,
    LiveServer,
    messages_url,
    wait_until,
)
from tests.support.nginx import Nginx, start_gunicorn


class Load:
    """Eight clients that append and read, each from its own address."""

    def __init__(self, nginx: Nginx) -> None:
        self.statuses: Counter[int] = Counter()
        self._nginx = nginx
        self._messages = messages_url(nginx.request("POST", SESSIONS, {}).json)

    def run_until(self, is_over: Callable[[], bool], at_least: int = 0) -> None:
        """Send requests until `is_over()` and at least `at_least` were sent."""

        def be_client(number: int) -> None:
            client = f"127.0.3.{number}"
            while self.statuses.total() < at_least or not is_over():
                self._count(self._append(client))
                self._count(self._nginx.request("GET", "/readyz", client=client))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(be_client, range(1, 9)))

    def _append(self, client: str) -> LiveResponse:
        body = {"content": client}
        return self._nginx.request("POST", self._messages, body, client=client)

    def _count(self, response: LiveResponse) -> None:
        self.statuses[response.status_code] += 1

    def assert_nothing_failed(self) -> None:
        assert set(self.statuses) == {200, 201}
        stored = self._nginx.request("GET", self._messages).json["messages"]
        assert [each["seq"] for each in stored] == list(
            range(1, self.statuses[201] + 1)
        )


@pytest.fixture
def database(folder: Path, sqlite_template: Path) -> str:
    shutil.copy(sqlite_template, folder / "chatstore.db")
    return f"sqlite:///{folder}/chatstore.db"


def test_a_reload_fails_no_request_of_a_thousand(folder, database):
    gunicorn = start_gunicorn(folder, database_url=database)
    with gunicorn, Nginx(folder) as nginx:
        load = Load(nginx)
        load.run_until(lambda: True, at_least=100)
        os.kill(gunicorn.process.pid, signal.SIGHUP)
        load.run_until(lambda: count_exits(gunicorn) == 2, at_least=1000)
        load.assert_nothing_failed()


def count_exits(gunicorn: LiveServer) -> int:
    return gunicorn.log.count("Worker exiting")


def test_a_restart_on_the_same_socket_fails_no_request(folder, database):
    with ExitStack() as stack:
        listener = stack.enter_context(listening(folder / "chatstore.sock"))
        nginx = stack.enter_context(Nginx(folder))
        settings = {"database_url": database, "workers": "1"}
        start = partial(start_gunicorn, folder, listener=listener, **settings)
        old = stack.enter_context(start())
        load, is_over = Load(nginx), threading.Event()
        pool = stack.enter_context(ThreadPoolExecutor(1))
        running = pool.submit(load.run_until, is_over.is_set)
        wait_until(lambda: load.statuses.total() > 100)
        old.stop()
        stack.enter_context(start())
        before = load.statuses.total()
        wait_until(lambda: load.statuses.total() > before + 100)
        is_over.set()
        running.result()
        load.assert_nothing_failed()


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does: the socket outlives the servers that receive it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen(1024)
        yield listener
