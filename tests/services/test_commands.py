import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import clean_environ, need

COMMAND = [sys.executable, "-m", "chatstore"]


def environ(url: str) -> dict[str, str]:
    return clean_environ(CHATSTORE_DATABASE_URL=url, CHATSTORE_SECRET_KEY="x")


def chatstore(url: str, *arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *arguments], env=environ(url), capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_backup_goes_out_and_comes_back(
    database_url: str, empty_database_url: str, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=3)
    file = tmp_path / "copy"
    status, output, errors = chatstore(database_url, "backup", file)
    assert (status, errors) == (0, "")
    size = file.stat().st_size
    start = f"wrote {file}: {size} bytes, 1 session, 3 messages, in "
    assert output.startswith(start)
    assert float(output.removeprefix(start).removesuffix(" s\n")) > 0
    status, output, errors = chatstore(empty_database_url, "restore", file)
    assert (status, errors) == (0, "")
    assert output == f"restored {file}: 1 session, 3 messages\n"


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_disk_without_links_takes_a_backup(database_url: str, tmp_path: Path) -> None:
    need("strace", shutil.which("strace") is not None)
    file, trace = tmp_path / "copy", tmp_path / "trace"
    refuse = ["-e", "trace=link,linkat", "-e", "inject=link,linkat:error=EPERM"]
    done = subprocess.run(
        ["strace", "-f", "-o", trace, *refuse, *COMMAND, "backup", file],
        env=environ(database_url),
        stderr=subprocess.PIPE,
        text=True,
    )
    need("permission to trace", "PTRACE" not in done.stderr)
    assert done.returncode == 0
    assert "EPERM" in trace.read_text()
    assert [*tmp_path.glob("copy*")] == [file]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_terminal_shows_the_progress(database_url: str, tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    file = tmp_path / "copy"
    command = [*COMMAND, "backup", file]
    done = subprocess.run(command, env=environ(database_url), stderr=end)
    os.close(end)
    shown = os.read(terminal, 10_000).decode()
    assert done.returncode == 0
    assert "checking seq" in shown
    assert shown.endswith("\r\033[K")

    file.write_text("no backup")
    refused = chatstore(database_url, "restore", file)
    assert refused == (1, "", f"Error: {file} is no backup of chatstore's.\n")
    os.close(terminal)
