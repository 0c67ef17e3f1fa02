"""Starts a chatstore to measure, on a free port and a database of its own."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def running_server(**settings: object) -> Iterator[int]:
    """Serve while the block runs, with `settings` by name; yield the port."""
    port = free_port()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CHATSTORE_")}
    settings = {"bind": f"127.0.0.1:{port}", "log_level": "warning"} | settings
    environ |= {f"CHATSTORE_{k.upper()}": str(v) for k, v in settings.items()}
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "chatstore", "serve", "--migrate"],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "Ctrl-C" in line:
                    break
            else:
                raise RuntimeError("chatstore did not start")
            yield port
        finally:
            process.terminate()
            process.wait(timeout=60)
