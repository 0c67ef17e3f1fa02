import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from chatstore.db import run_write
from chatstore.enums import Role
from chatstore.store.messages import append_messages
from chatstore.web.auth import LOCAL_OWNER
from tests.support import clean_environ, need, on_sqlite, wait_until

COMMAND = [sys.executable, "-m", "chatstore"]

pytestmark = pytest.mark.alone


def environ(url: str) -> dict[str, str]:
    return clean_environ(CHATSTORE_DATABASE_URL=url, CHATSTORE_SECRET_KEY="x")


def chatstore(url: str, *arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [*COMMAND, *arguments], env=environ(url), capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@on_sqlite
def test_a_backup_goes_out_and_comes_back(
    database_url: str, empty_database_url: str, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=3)
    file = tmp_path / "copy"
    status, output, errors = chatstore(database_url, "backup", file)
    assert (status, errors.count("\n")) == (0, 1)
    assert "owner.exported" in errors  # the line of the audit log
    size = file.stat().st_size
    start = f"wrote {file}: {size} bytes, 1 session, 3 messages, in "
    assert output.startswith(start)
    assert float(output.removeprefix(start).removesuffix(" s\n")) > 0
    status, output, errors = chatstore(empty_database_url, "restore", file)
    assert (status, errors) == (0, "")
    assert output == f"restored {file}: 1 session, 3 messages\n"


@on_sqlite
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


@on_sqlite
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
    assert refused == (1, "", f"Error: {file} is not a backup of chatstore.\n")
    os.close(terminal)


@pytest.mark.parametrize("turns", [1, 4000], ids=["while checking", "while copying"])
def test_sigterm_ends_a_backup_without_a_trace(
    app: Flask, database_url: str, make_session: Any, tmp_path: Path, turns: int
) -> None:
    chat = make_session()
    add(app, chat.id, turns)
    folder = tmp_path / "backups"
    folder.mkdir()
    terminal, end = pty.openpty()
    # A stopped terminal blocks the process at its first line of progress.
    termios.tcflow(end, termios.TCOOFF)
    with subprocess.Popen(
        [*COMMAND, "backup", folder / "copy"], env=environ(database_url), stderr=end
    ) as process:
        wait_until(lambda: waits_for_terminal(process.pid))
        assert [*folder.glob("copy.partial-*")]
        process.terminate()
        termios.tcflow(end, termios.TCOON)
        status = process.wait(timeout=30)
    os.close(end)
    os.close(terminal)
    assert (status, [*folder.iterdir()]) == (128 + signal.SIGTERM, [])


def waits_for_terminal(process_id: int) -> bool:
    """Whether the process is blocked in a system call on standard error."""
    call = Path(f"/proc/{process_id}/syscall")
    need("the system call of a process", call.exists())
    return call.read_text().split()[1:2] == ["0x2"]


def add(app: Flask, session_id: UUID, turns: int) -> None:
    """Append `turns` messages; a copy of thousands reports its progress."""
    each = {"content": "x" * 100, "role": Role.USER, "metadata": None}
    with app.app_context():
        for start in range(0, turns, 1000):
            run_write(
                append_messages,
                session_id,
                owner_id=LOCAL_OWNER,
                turns=[each] * min(1000, turns - start),
            )
