"""Helpers shared by the tests of backup and restore."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from chatstore.db import db
from chatstore.db.revisions import current_revision
from chatstore.errors import BackupError
from chatstore.models import ChangeFeed
from chatstore.services.backup import whole_database
from chatstore.services.backup.backup import restore_backup, write_backup
from chatstore.services.backup.integrity import Contents
from chatstore.services.backup.postgres_tools import PostgresTools
from chatstore.settings import Settings
from chatstore.store import database_info
from tests.support.environment import clean_environ

# Kills its own process when the progress text starts with the third argument.
SUICIDE = """
import os, signal, sys
from pathlib import Path
from chatstore.app import create_app
from chatstore.services.backup import backup

def progress(what):
    if what.startswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

with create_app().app_context():
    work = getattr(backup, sys.argv[1])
    work(Path(sys.argv[2]), progress=progress, is_replacing=True)
"""


def ignore(progress: str) -> None:
    assert progress


def backup(app: Flask, file: Path, **options: Any) -> Contents:
    with app.app_context():
        return write_backup(file, progress=ignore, **options)


def restore(app: Flask, file: Path, **options: Any) -> Contents:
    """Restore a backup; first close the pool, as a restore refuses other clients."""
    with app.app_context():
        db.engine.dispose()
        return restore_backup(file, progress=ignore, **options)


def rows(app: Flask) -> dict[str, list[Any]]:
    """Return the rows by table; a restored database has another change feed."""
    with app.app_context():
        return {
            table.name: [
                tuple(row)
                for row in db.session.execute(
                    select(table).order_by(*table.primary_key)
                )
            ]
            for table in db.metadata.sorted_tables
            if table.name != ChangeFeed.__tablename__
        }


def refuse(work: Callable[..., Any], *arguments: Any, because: str) -> None:
    with pytest.raises(BackupError, match=because) as raised:
        work(*arguments)
    assert raised.value.detail.endswith((".", "holds."))


def unchecked_backup(app: Flask, file: Path) -> None:
    """Copy the database without the checks that a backup makes."""
    settings: Settings = app.config["CHATSTORE"]
    with app.app_context():
        if settings.sqlite_path is not None:
            file.touch()
            whole_database.copy_sqlite(
                settings.sqlite_path, file, on_progress=lambda: None
            )
            return
        tools = PostgresTools(
            db.engine.url, server_version=database_info.get_postgresql_version()
        )
        snapshot = whole_database.hold_snapshot()
        tools.dump(file, snapshot=snapshot, lock_seconds=5, on_progress=lambda: None)


def execute(app: Flask, statement: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(statement))


def current(app: Flask) -> str:
    with app.app_context():
        return current_revision() or ""


def run_and_kill(app: Flask, what: str, file: Path, when: str) -> None:
    settings: Settings = app.config["CHATSTORE"]
    killed = subprocess.run(
        [sys.executable, "-c", SUICIDE, what, str(file), when],
        env=clean_environ(CHATSTORE_DATABASE_URL=settings.database_url),
        cwd=file.parent,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
