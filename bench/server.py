"""Starts the servers to measure, each on a free port, and stops them."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Running:
    """A running server: its main process, and how long it took to start."""

    port: int
    pid: int
    seconds_to_first_answer: float

    def workers(self) -> list[int]:
        """Return the ids of the main process's child processes."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(each) for each in children.read_text().split()]


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def resident_bytes(pid: int) -> int:
    """Return the resident memory of the process, shared pages included."""
    return _memory(pid, "VmRSS:")


def peak_bytes(pid: int) -> int:
    """Return the peak resident memory since the start, or since `forget_peak`."""
    return _memory(pid, "VmHWM:")


def forget_peak(pid: int) -> None:
    """Reset the peak to the current resident memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} is gone")


@contextmanager
def started(
    command: Sequence[str],
    *,
    port: int,
    environ: Mapping[str, str],
    folder: str | Path = ROOT,
    first_path: str = "/",
) -> Iterator[Running]:
    """Run a server; the block begins when the server answers `first_path`.

    The output goes to a temporary file. If the server does not start, RuntimeError has
    the end of that file.
    """
    with tempfile.TemporaryDirectory() as logs, (Path(logs) / "log").open("w+") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            if not _answers(process, port, first_path):
                log.seek(0)
                raise RuntimeError(f"{command} did not start:\n{log.read()[-2000:]}")
            yield Running(port, process.pid, time.perf_counter() - begun)
        finally:
            _stop(process)


def clean_environ(**variables: object) -> dict[str, str]:
    """Return this process's environment without chatstore's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CHATSTORE_")}
    return kept | {name: str(value) for name, value in variables.items()}


@contextmanager
def running_chatstore(**settings: object) -> Iterator[Running]:
    """Serve chatstore on its own database, unless `database_url` names one."""
    port = free_port()
    settings = {"bind": f"127.0.0.1:{port}", "log_level": "warning"} | settings
    environ = clean_environ(
        **{f"CHATSTORE_{name.upper()}": value for name, value in settings.items()}
    )
    command = [sys.executable, "-m", "chatstore", "serve", "--migrate"]
    with (
        tempfile.TemporaryDirectory() as folder,
        started(
            command, port=port, environ=environ, folder=folder, first_path="/healthz"
        ) as running,
    ):
        yield running


@contextmanager
def running_ceiling() -> Iterator[Running]:
    """Serve one bare Flask route with chatstore's default server settings."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "bench/ceiling.py"]
    environ = clean_environ(CEILING_BIND=f"127.0.0.1:{port}")
    with started(
        [*command, "bench.ceiling:app"], port=port, environ=environ
    ) as ceiling:
        yield ceiling


def _answers(process: "subprocess.Popen[bytes]", port: int, path: str) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", path)
            connection.getresponse().read()
            return True
        time.sleep(0.01)
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    # A process group of its own lets us stop the workers however the server ends.
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=40)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
