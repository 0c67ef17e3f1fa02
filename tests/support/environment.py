"""The environment of the tests: folders, missing tools, variables, ports."""

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"
OWN_DATA = ROOT / "tests" / "data"
# Docker gives a container 64 MB by default, and the tests of the installation alone
# need several hundred.
_LEAST_MEMORY_BYTES = 6 * 1024**3


def need(tool: str, is_there: bool) -> None:
    """Skip the test and name the missing tool; in CI, fail the test."""
    if is_there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{tool} is missing")
    pytest.skip(f"{tool} is missing")


def shared_data(name: str) -> Path:
    """Return the path of an extra data file; skip the test without it, in CI too."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"shared data {name} is missing")
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def clean_environ(**variables: str) -> dict[str, str]:
    """Return this process's environment, without chatstore's settings, for a child."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHATSTORE_", "COV_", "PROMETHEUS_"))
    }
    return kept | variables


def keep_files_in_memory() -> None:
    """Put temporary files on /dev/shm, where a flush costs nothing.

    The kernel keeps these files when a process is killed, as a disk does. A folder in
    TMPDIR takes precedence.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return
    if shutil.disk_usage(memory).free >= _LEAST_MEMORY_BYTES:
        os.environ["TMPDIR"] = str(memory)  # for child processes
        tempfile.tempdir = None  # Python then reads the variable again
