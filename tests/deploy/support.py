"""Real nginx before real gunicorn, both children of the tests."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support import JSON, ROOT, LiveResponse, clean_environ, free_port, need

DEPLOY = ROOT / "deploy"
ECHO = "tests.deploy.echo:create()"
# What systemd does between fork and exec, sd_listen_fds(3).
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""


def wait_until(is_so: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait until `is_so()`; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        threading.Event().wait(0.01)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that nginx's workers may enter, with a path fit for sockets."""
    with tempfile.TemporaryDirectory(prefix="chatstore-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Child:
    """A process of a test's, with its output in a file; ended when the block is."""

    def __init__(self, command: list[str], log: Path, **options: Any) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, **options
            )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=40)

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Wait until it has written `text` so often; fail when it ends before."""

        def has_come() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.log.read_text().count(text) >= times

        wait_until(has_come)


def start_gunicorn(
    folder: Path,
    *,
    application: str | None = None,
    listener: socket.socket | None = None,
    **settings: str,
) -> Child:
    """Start gunicorn as deploy/chatstore.env does, on `folder`/chatstore.sock.

    With `application`, that one; with `listener`, on it: as systemd hands it over.
    """
    defaults = {"proxy_hops": "1", "log_format": "json", "allowed_hosts": ".example"}
    environ = {
        f"CHATSTORE_{name.upper()}": value
        for name, value in (defaults | settings).items()
    }
    environ["CHATSTORE_BIND"] = f"unix:{folder / 'chatstore.sock'}"
    command = [sys.executable, "-m", "chatstore", "serve", "--migrate"]
    if application:
        command[2:] = ["gunicorn", "-c", "python:chatstore.server", application]
    options: dict[str, Any] = {}
    if listener:
        number = listener.fileno()
        command = [sys.executable, "-c", HAND_OVER, str(number), *command]
        options = {"pass_fds": [number]}
    return Child(
        command,
        folder / "gunicorn.log",
        cwd=folder,
        env=clean_environ(PYTHONPATH=str(ROOT), **environ),
        **options,
    )


class Nginx(Child):
    """nginx with the shipped configuration, on a port and in a folder of its own."""

    def __init__(self, folder: Path, changes: Mapping[str, str] | None = None) -> None:
        need("nginx", shutil.which("nginx") is not None)
        self.folder = folder
        self.port = free_port()
        config = shipped_config(
            dict(changes or {})
            | {
                "pid /run/nginx.pid;": f"pid {folder}/nginx.pid;",
                "/var/log/nginx/": f"{folder}/",
                "listen 80 default_server;": f"listen 127.0.0.1:{self.port};",
                "# CHANGE: chat.example.org 0;": ".example 0;",
                "/run/chatstore/": f"{folder}/",
                "/etc/nginx/": f"{folder}/",
                "http {": "http {\n" + _temporary_files(folder),
            }
        )
        (folder / "nginx.conf").write_text(config)
        super().__init__(
            ["nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"]
            + ["-g", "daemon off;"],
            folder / "nginx.log",
        )
        wait_until(self._is_listening)

    def _is_listening(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def connect(self, client: str = "127.0.0.1") -> socket.socket:
        """Open a connection from the address `client`."""
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=30, source_address=(client, 0)
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        client: str = "127.0.0.1",
    ) -> LiveResponse:
        """Send one request from the address `client`; a body goes as JSON."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=60, source_address=(client, 0)
        )
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes | Iterator):
            body = json.dumps(body)
            sent = JSON | sent
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            return LiveResponse(connection.getresponse())

    def send(self, raw: bytes) -> LiveResponse:
        """Send `raw`, which need not be HTTP, and read what is answered."""
        with self.connect() as connection:
            connection.sendall(raw)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return LiveResponse(response)

    def access_log(self) -> list[dict[str, str]]:
        """The lines of the access log so far."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [json.loads(each) for each in lines]


def shipped_config(changes: Mapping[str, str]) -> str:
    """Return deploy/nginx.conf with its places changed to those of a test."""
    config = shipped = (DEPLOY / "nginx.conf").read_text()
    for text, replacement in changes.items():
        assert text in shipped, f"deploy/nginx.conf has no {text!r} any more"
        config = config.replace(text, replacement)
    return config


def _temporary_files(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)


class Node:
    """A server on a unix socket that keeps what it was sent and never answers.

    Passes it on to `behind`, if there is one, and loses the answer: the effect of
    a node that dies after its commit. When `is_silent`, it does not even hang up.
    """

    def __init__(
        self, path: Path, *, behind: Path | None = None, is_silent: bool = False
    ) -> None:
        self.requests: list[bytes] = []
        self._behind = behind
        self._is_silent = is_silent
        self._held: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o777)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Node":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._listener, *self._held):
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.requests.append(connection.recv(64 * 1024))
            if self._behind:
                with socket.socket(socket.AF_UNIX) as server:
                    server.connect(str(self._behind))
                    server.sendall(self.requests[-1])
                    server.recv(64 * 1024)
            if self._is_silent:
                self._held.append(connection)
            else:
                connection.close()
