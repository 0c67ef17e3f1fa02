from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from chatstore.errors import BackupError
from chatstore.services.backup.backup import restore_backup
from tests.support import on_sqlite
from tests.support.copies import (
    backup,
    current,
    execute,
    ignore,
    refuse,
    restore,
    rows,
    unchecked_backup,
)


def test_broken_data_is_not_backed_up(
    app: Flask, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=2)
    execute(app, "UPDATE sessions SET message_count = 7")
    refuse(
        backup, app, tmp_path / "copy", because="has message_count 7, but 2 messages"
    )
    assert not [*tmp_path.glob("copy*")]


# The text 00015 sorts before the head revision.
@pytest.mark.parametrize("revision", ["9999", "00015"])
def test_a_backup_of_an_unknown_version_is_refused(
    app: Flask, other_app: Flask, tmp_path: Path, revision: str
) -> None:
    execute(app, f"UPDATE alembic_version SET version_num = '{revision}'")
    unknown = f"at revision {revision}. This version of chatstore knows only"
    refuse(backup, app, tmp_path / "copy", because=unknown)
    unchecked_backup(app, tmp_path / "copy")
    refuse(restore, other_app, tmp_path / "copy", because=unknown)
    assert current(other_app) == ""


def test_a_database_that_is_not_chatstores_is_left_alone(
    app: Flask, other_app: Flask, tmp_path: Path
) -> None:
    execute(other_app, "CREATE TABLE precious (n int)")
    refuse(backup, other_app, tmp_path / "copy", because="no tables of chatstore")
    backup(app, tmp_path / "copy")
    refuse(restore, other_app, tmp_path / "copy", because="not empty")
    execute(other_app, "SELECT n FROM precious")


@on_sqlite
def test_a_damaged_database_is_neither_copied_nor_restored_into(
    app: Flask, other_app: Flask, tmp_path: Path
) -> None:
    backup(app, tmp_path / "copy")
    path = other_app.config["CHATSTORE"].sqlite_path
    path.write_text("nonsense " * 1000)
    refuse(backup, other_app, tmp_path / "new", because="not a database")
    refuse(restore, other_app, tmp_path / "copy", because="not a database")
    with other_app.app_context(), pytest.raises(BackupError, match="Move it away"):
        restore_backup(tmp_path / "copy", is_replacing=True, progress=ignore)
    path.unlink()
    restore(other_app, tmp_path / "copy")
    assert rows(other_app) == rows(app)
