import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from flask import Flask
from sqlalchemy import select

from chatstore.db import db, run_write
from chatstore.db.revisions import alembic_config, current_revision, migrate
from chatstore.errors import BackupError
from chatstore.models import ChatSession
from chatstore.services.backup.backup import restore_backup
from chatstore.services.backup.integrity import Contents
from chatstore.store.messages import append_message
from chatstore.web.auth import LOCAL_OWNER
from tests.support import on_sqlite
from tests.support.copies import (
    backup,
    current,
    execute,
    ignore,
    refuse,
    restore,
    rows,
    run_and_kill,
    unchecked_backup,
)


def test_a_restored_backup_holds_what_was_there(
    app: Flask, other_app: Flask, make_session: Any, tmp_path: Path
) -> None:
    chat = make_session(messages=3, name="Ä 数据", metadata_tags=["a", "b"])
    make_session()
    with app.app_context():
        run_write(
            append_message,
            chat.id,
            owner_id=LOCAL_OWNER,
            content="\U0001f600 \r\n\t\\N",
            metadata={"n": 2**53 - 1, "x": 1e20, "deep": [[{}]]},
        )
    expected = Contents(revision=current(app), sessions=2, messages=4)
    assert backup(app, tmp_path / "copy") == expected
    assert restore(other_app, tmp_path / "copy") == expected
    assert rows(other_app) == rows(app)
    with other_app.app_context():  # the restored database accepts appends
        message = run_write(
            append_message, chat.id, owner_id=LOCAL_OWNER, content="next"
        )
        assert (message.seq, message.id) == (5, 5)


def test_a_restore_replaces_data_only_when_told(
    app: Flask, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=2)
    backup(app, tmp_path / "copy")
    kept = rows(app)
    make_session(messages=1)
    before = rows(app)
    refuse(restore, app, tmp_path / "copy", because="not empty. Use --force to replace")
    assert rows(app) == before
    restore(app, tmp_path / "copy", is_replacing=True)
    assert rows(app) == kept


def test_a_restore_into_a_migrated_database_without_data_needs_no_force(
    app: Flask, other_app: Flask, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=2)
    backup(app, tmp_path / "copy")
    with other_app.app_context():
        migrate()
    restore(other_app, tmp_path / "copy")
    assert rows(other_app) == rows(app)


def test_a_restore_needs_the_database_to_itself(
    app: Flask, make_app: Any, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=1)
    backup(app, tmp_path / "copy")
    before = rows(app)
    server = make_app()
    assert server.test_client().get("/readyz").status_code == 200
    with app.app_context():
        db.engine.dispose()
        with pytest.raises(BackupError, match="in use.* Stop the server"):
            restore_backup(tmp_path / "copy", is_replacing=True, progress=ignore)
    assert rows(server) == before


def shortened(by: int) -> Callable[[Path], None]:
    return lambda file: os.truncate(file, file.stat().st_size - by)


def overwritten(places: slice) -> Callable[[Path], None]:
    def overwrite(file: Path) -> None:
        with file.open("r+b") as opened:
            for place in range(*places.indices(file.stat().st_size)):
                opened.seek(place)
                opened.write(b"\xff" * 40)

    return overwrite


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda file: file.write_bytes(b""), id="empty"),
        pytest.param(lambda file: file.write_text("nonsense"), id="nonsense"),
        pytest.param(lambda file: file.unlink(), id="missing"),
        pytest.param(shortened(by=1), id="without its last byte"),
        pytest.param(shortened(by=5000), id="without its last 5000 bytes"),
        pytest.param(overwritten(slice(1)), id="overwritten at its start"),
        pytest.param(overwritten(slice(60, 61)), id="overwritten in its header"),
        pytest.param(overwritten(slice(4096, None, 4096)), id="overwritten all over"),
    ],
)
def test_a_damaged_backup_changes_nothing(
    app: Flask, make_session: Any, tmp_path: Path, damage: Any
) -> None:
    make_session(messages=1)
    with app.app_context():
        (chat,) = db.session.scalars(select(ChatSession))
        for _ in range(20):
            content = os.urandom(1000).hex()
            run_write(append_message, chat.id, owner_id=LOCAL_OWNER, content=content)
    backup(app, tmp_path / "copy")
    before = rows(app)
    damage(tmp_path / "copy")
    with app.app_context(), pytest.raises(BackupError):
        db.engine.dispose()
        restore_backup(tmp_path / "copy", is_replacing=True, progress=ignore)
    assert rows(app) == before


def test_a_backup_of_another_kind_is_told_apart(
    app: Flask, database_kind: str, tmp_path: Path
) -> None:
    magic, kind = {
        "sqlite": (b"PGDMP\1\20\0", "PostgreSQL"),
        "postgresql": (b"SQLite format 3\0", "SQLite"),
    }[database_kind]
    (tmp_path / "copy").write_bytes(magic)
    refuse(restore, app, tmp_path / "copy", because=f"is a backup of {kind}")


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


def test_a_backup_of_an_older_version_is_restored_as_it_was(
    app: Flask, other_app: Flask, tmp_path: Path
) -> None:
    with app.app_context():
        command.downgrade(alembic_config(), "0001")
    backup(app, tmp_path / "copy")
    assert restore(other_app, tmp_path / "copy").revision == "0001"
    with other_app.app_context():
        assert current_revision() == "0001"
        db.session.rollback()
        assert migrate()


def test_a_database_that_is_not_chatstores_is_left_alone(
    app: Flask, other_app: Flask, tmp_path: Path
) -> None:
    execute(other_app, "CREATE TABLE precious (n int)")
    refuse(backup, other_app, tmp_path / "copy", because="no tables of chatstore")
    backup(app, tmp_path / "copy")
    refuse(restore, other_app, tmp_path / "copy", because="not empty")
    execute(other_app, "SELECT n FROM precious")


@on_sqlite
def test_a_restore_killed_half_way_changes_nothing(
    app: Flask, other_app: Flask, make_session: Any, tmp_path: Path
) -> None:
    chat = make_session()
    backup(app, tmp_path / "small")
    restore(other_app, tmp_path / "small")
    for _ in range(6):
        with app.app_context():
            run_write(
                append_message, chat.id, owner_id=LOCAL_OWNER, content="x" * 2**20
            )
    backup(app, tmp_path / "large")
    before = rows(other_app)
    with other_app.app_context():
        db.engine.dispose()
    run_and_kill(other_app, "restore_backup", tmp_path / "large", "restored 6")
    assert rows(other_app) == before
    assert restore(other_app, tmp_path / "large", is_replacing=True).messages == 6


@contextmanager
def files_up_to(most_bytes: int) -> Iterator[None]:
    """Limit the size of files in the block, to imitate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@on_sqlite
def test_a_restore_for_which_there_is_no_room_changes_nothing(
    app: Flask, other_app: Flask, make_session: Any, tmp_path: Path
) -> None:
    chat = make_session(messages=1)
    backup(app, tmp_path / "small")
    restore(other_app, tmp_path / "small")
    with app.app_context():
        run_write(append_message, chat.id, owner_id=LOCAL_OWNER, content="x" * 2**20)
    backup(app, tmp_path / "large")
    before = rows(other_app)
    with files_up_to(2**19), pytest.raises(BackupError, match="Nothing was restored"):
        restore(other_app, tmp_path / "large", is_replacing=True)
    assert rows(other_app) == before


@on_sqlite
def test_an_old_wal_is_not_mixed_with_a_restored_file(
    app: Flask, other_app: Flask, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=2)
    backup(app, tmp_path / "copy")
    make_session(messages=50)
    path = app.config["CHATSTORE"].sqlite_path
    wal = Path(f"{path}-wal").read_bytes()
    with app.app_context():
        db.engine.dispose()
    Path(f"{path}-wal").write_bytes(wal)  # as a killed server leaves it
    assert restore(app, tmp_path / "copy", is_replacing=True).messages == 2
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT count(*) FROM chat_messages").fetchall()
    connection.close()
    assert found == [(2,)]


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
