"""Real nginx in front of real gunicorn, both child processes of the tests."""

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.environment import ROOT, free_port, need
from tests.support.servers import Child, LiveResponse, LiveServer, send_request
from tests.support.waiting import wait_until

DEPLOY = ROOT / "deploy"
DOCS = (ROOT / "docs" / "deploy.md").read_text()
ECHO = "tests.deploy.echo:create()"


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Create a folder that nginx can enter, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="chatstore-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def start_gunicorn(folder: Path, **options: Any) -> LiveServer:
    """Start a server as deploy/chatstore.env does, on `folder`/chatstore.sock.

    `options` are those of LiveServer.
    """
    defaults = {"proxy_hops": "1", "allowed_hosts": ".example"}
    bind = f"unix:{folder / 'chatstore.sock'}"
    return LiveServer(folder, bind=bind, **(defaults | options))


class Nginx(Child):
    """nginx with the shipped configuration, on a free port and in its own folder."""

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
        assert self.process.poll() is None, self.log
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
        """Send one request from the address `client`; the body is sent as JSON."""
        return send_request(self.port, method, path, body, headers, client=client)

    def send(self, raw: bytes) -> LiveResponse:
        """Send `raw`, which may be invalid HTTP; read the response."""
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
    """Return deploy/nginx.conf with each key of `changes` replaced by its value."""
    config = shipped = (DEPLOY / "nginx.conf").read_text()
    for text, replacement in changes.items():
        assert text in shipped, f"deploy/nginx.conf has no {text!r} any more"
        config = config.replace(text, replacement)
    return config


def _temporary_files(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)


class Node:
    """A server on a unix socket that records requests and never answers them.

    With `behind`, it forwards each request and drops the response, as if it died after
    its commit. With `is_silent`, it keeps the connection open.
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
