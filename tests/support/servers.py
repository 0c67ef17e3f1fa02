"""Starts real servers and sends them requests; no other test code does."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.support.api import JSON
from tests.support.environment import ROOT, clean_environ, free_port
from tests.support.waiting import Stuck, wait_until

SERVE = (sys.executable, "-m", "chatstore", "serve")
# `make run` installs the project first, so allow minutes.
_START_SECONDS = 600
# systemd sets these variables between fork and exec: sd_listen_fds(3).
_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A process that writes to a log file; leaving the block terminates it."""

    def __init__(self, command: Sequence[str], log_path: Path, **options: Any) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            options = {"stdout": log, "stderr": log} | options
            # Ctrl-C then reaches only the tests, which end their processes in order.
            self.process = subprocess.Popen(command, start_new_session=True, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=40)

    def wait_for(self, text: str) -> None:
        """Wait until the log contains `text`; raise Stuck if the process ends first."""

        def has_come() -> bool:
            if self.process.poll() is not None:
                raise Stuck(f"the process has ended:\n{self.log}")
            return text in self.log

        wait_until(has_come, f"{text!r} in the log")


class LiveServer(Child):
    """A server in its own folder; the constructor returns once it has started.

    The command is `chatstore serve --migrate`, or gunicorn with another WSGI
    `application`. `listener` is passed on as systemd does. Settings are keywords
    without their prefix; `bind` defaults to a free port.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = (*SERVE, "--migrate"),
        *,
        application: str | None = None,
        listener: socket.socket | None = None,
        environ: Mapping[str, str] | None = None,
        **settings: str,
    ) -> None:
        self.folder = folder
        settings.setdefault("bind", f"127.0.0.1:{free_port()}")
        settings.setdefault("log_format", "json")
        address, _, port = settings["bind"].rpartition(":")
        self.port = 0 if address == "unix" else int(port)
        environ = dict(environ or {})
        options: dict[str, Any] = {}
        if application:
            gunicorn = ["-m", "gunicorn", "-c", "python:chatstore.server"]
            command = [sys.executable, *gunicorn, application]
            environ["PYTHONPATH"] = str(ROOT)
        if listener:
            number = listener.fileno()
            command = [sys.executable, "-c", _HAND_OVER, str(number), *command]
            options["pass_fds"] = [number]
        self._greeting_path = folder / "greeting.log"
        with self._greeting_path.open("wb") as greeting:
            super().__init__(
                command,
                folder / "server.log",
                cwd=folder,
                env=environ_of(**settings) | environ,
                stdout=greeting,
                **options,
            )
        with contextlib.ExitStack() as stack:
            stack.callback(self.stop)
            wait_until(self._has_greeted, "a greeting", seconds=_START_SECONDS)
            stack.pop_all()

    def _has_greeted(self) -> bool:
        has_ended = self.process.poll() is not None
        if "Ctrl-C" in self._greeting_path.read_text():
            return True
        if has_ended:
            raise Stuck(f"no server:\n{self._greeting_path.read_text()}\n{self.log}")
        return False

    @property
    def greeting(self) -> list[str]:
        """The lines that the server has written to its standard output."""
        return self._greeting_path.read_text().splitlines(keepends=True)

    @property
    def worker_ids(self) -> set[int]:
        """The process ids of the workers."""
        process = self.process.pid
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
        return {int(each) for each in children.split()}

    def log_lines(self) -> list[dict[str, Any]]:
        """The JSON lines of the log."""
        return [json.loads(each) for each in self.log.splitlines() if each[:1] == "{"]

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> "LiveResponse":
        """Send one request on its own connection; the body is sent as JSON."""
        return send_request(self.port, method, path, body, headers)


def kill_workers(server: LiveServer) -> None:
    """Kill all workers of the server at once."""
    for worker in server.worker_ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def metric(server: LiveServer, name: str, **labels: str) -> float:
    """Return the sum of the samples of a metric that have these labels."""
    exposition = server.request("GET", "/metrics").data.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


class LiveResponse:
    """A response read to its end, with the attribute names of Flask's test client."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status_code = response.status
        self.headers = response.headers
        self.data = response.read()
        self.content_type = response.headers.get("Content-Type")

    @property
    def json(self) -> Any:
        return json.loads(self.data)


def environ_of(**settings: str) -> dict[str, str]:
    """Return a child process's environment with these settings and no others."""
    return clean_environ(
        **{f"CHATSTORE_{name.upper()}": value for name, value in settings.items()}
    )


def send_request(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    client: str = "127.0.0.1",
) -> LiveResponse:
    """Send one request from the address `client`.

    The body is sent as JSON, unless it is bytes or an iterator.
    """
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=60, source_address=(client, 0)
    )
    sent = dict(headers or {})
    if body is not None and not isinstance(body, bytes | Iterator):
        body = json.dumps(body)
        sent = JSON | sent
    with contextlib.closing(connection):
        connection.request(method, path, body, sent)
        return LiveResponse(connection.getresponse())
