"""The docs' backup of PostgreSQL in a container, without the container."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from chatstore.db import db
from chatstore.services.backup.postgres_tools import connection_environment
from tests.support import on_postgresql
from tests.support.copies import execute, restore, rows
from tests.support.nginx import DOCS

pytestmark = [on_postgresql, pytest.mark.alone]
DUMP, CHECK, RESTORE = re.findall(
    r"compose\.yaml exec -T db +(.*)$", DOCS.replace(" \\\n", " "), re.MULTILINE
)
RECREATE = re.findall(r"`((?:drop|create)db [^`]*)`", DOCS)
DAMAGE = "DELETE FROM chat_messages"


@pytest.fixture
def run(
    app: Flask, postgres: Any, tmp_path: Path, monkeypatch: Any
) -> Callable[[str], int]:
    """Run a command of the docs on the test's database, with no other client."""
    with app.app_context():
        url = db.engine.url
    monkeypatch.setenv("PATH", f"{postgres.server.bin_path}:{os.environ['PATH']}")
    environ = {**os.environ, **connection_environment(url)}
    names = {"--username=chatstore": f"--username={url.username}"}
    names |= {"--dbname=chatstore": f"--dbname={url.database}"}
    names |= {" chatstore": f" {url.database}"}

    def run(command: str) -> int:
        with app.app_context():
            db.engine.dispose()
        for name, ours in names.items():
            command = command.replace(name, ours)
        # Docker passes data through pipes, where pg_dump writes a different file.
        command = re.sub(r"(pg_restore .*) < (\S+)", r"cat \2 | \1", command)
        command = command.replace(" > ", " | cat > ")
        shell = ["bash", "-o", "pipefail", "-c", command]
        return subprocess.run(shell, env=environ, cwd=tmp_path).returncode

    return run


@pytest.mark.parametrize("before", [[], RECREATE], ids=["over it", "into a new one"])
def test_a_backup_goes_out_and_comes_back(
    app: Flask, make_session: Any, run: Any, before: list[str]
) -> None:
    make_session(messages=3)
    there = rows(app)
    assert [run(DUMP), run(CHECK)] == [0, 0]
    execute(app, DAMAGE)
    assert [run(command) for command in [*before, RESTORE]] == [0] * (len(before) + 1)
    assert rows(app) == there


def test_a_backup_that_is_cut_off_gets_no_name(
    make_session: Any, run: Any, tmp_path: Path
) -> None:
    make_session(messages=3)
    assert run(DUMP) == 0
    (part,) = tmp_path.glob("*.partial")
    os.truncate(part, part.stat().st_size - 1)
    assert run(CHECK) != 0
    assert [*tmp_path.glob("monday*")] == [part]


def test_chatstore_restores_it_too(
    app: Flask, make_session: Any, run: Any, tmp_path: Path
) -> None:
    make_session(messages=3)
    there = rows(app)
    assert [run(DUMP), run(CHECK)] == [0, 0]
    execute(app, DAMAGE)
    restore(app, tmp_path / "monday.backup", is_replacing=True)
    assert rows(app) == there
