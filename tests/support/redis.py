"""A real Redis, a child process of the tests."""

import shutil
import socket
from pathlib import Path

from tests.support.environment import free_port, need
from tests.support.servers import Child


class Redis(Child):
    """redis-server on a free port of its own; it stores nothing on the disk."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        need("redis-server", shutil.which("redis-server") is not None)
        self.port = port or free_port()
        super().__init__(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
            + ["--save", "", "--dir", str(folder)],
            folder / f"redis-{free_port()}.log",
        )
        self.wait_for("Ready to accept connections")

    @property
    def url(self) -> str:
        """What CHATSTORE_RATE_LIMIT_STORAGE names."""
        return f"redis://127.0.0.1:{self.port}/0"


class SilentServer:
    """A port that accepts connections and never answers, as a Redis that hangs."""

    def __enter__(self) -> "SilentServer":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
