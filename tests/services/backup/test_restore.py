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
from sqlalchemy import select, text, union_all

from chatstore.app import create_app
from chatstore.db import db, run_write
from chatstore.db.revisions import alembic_config, current_revision, migrate
from chatstore.errors import BackupError
from chatstore.models import ChatSession
from chatstore.services.backup.backup import restore_backup
from chatstore.services.backup.integrity import Contents
from chatstore.store.changes import NUMBERED
from chatstore.store.messages import append_message
from chatstore.store.row_security import check_row_security
from chatstore.store.sessions import create_session
from chatstore.web.auth import LOCAL_OWNER
from tests.support import (
    API,
    assert_problem,
    make_settings,
    messages_url,
    on_postgresql,
    on_sqlite,
    session_url,
    wait_for_transactions,
)
from tests.support.copies import (
    backup,
    current,
    ignore,
    refuse,
    restore,
    rows,
    run_and_kill,
)

pytestmark = pytest.mark.alone


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


# As another server would have numbered them, which had run more transactions.
FAR = 10**12


def number_far(app: Flask) -> None:
    with app.app_context(), db.engine.begin() as connection:
        # Without the triggers.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in ("sessions", "message_changes", "session_tombstones"):
            connection.execute(text(f"UPDATE {table} SET change_id = {FAR}"))


def test_a_restored_database_has_a_change_feed_of_its_own(
    app: Flask, other_app: Flask, make_session: Any, tmp_path: Path, database_kind: str
) -> None:
    url = f"{API}/changes"
    old, new = app.test_client(), other_app.test_client()
    gone, chats = make_session(), [make_session(messages=2) for _ in range(3)]
    token = old.get(url).json["next"]
    message = old.get(messages_url(chats[0])).json["messages"][0]
    edit = f"{messages_url(chats[0])}/{message['id']}"
    assert old.patch(edit, json={"content": "Better"}).status_code == 200
    old.delete(session_url(gone))
    if database_kind == "postgresql":
        number_far(app)
    backup(app, tmp_path / "copy")
    restore(other_app, tmp_path / "copy")
    since = {"since": token}
    assert_problem(new.get(url, query_string=since), 410, detail="restored")
    token = new.get(url).json["next"]
    assert new.get(url, query_string={"since": token}).json["changes"] == []
    new.patch(session_url(chats[1]), json={"name": "Renamed"})
    new.patch(edit, json={"content": "Best"})
    new.delete(session_url(chats[2]))
    with other_app.app_context():
        wait_for_transactions()
    changes = new.get(url, query_string={"since": token}).json["changes"]
    assert sorted(
        (each["kind"], each["session_id"], "deleted" in each) for each in changes
    ) == sorted(
        [
            ("session", str(chats[0].id), False),
            ("message", str(chats[0].id), False),
            ("session", str(chats[1].id), False),
            ("session", str(chats[2].id), True),
        ]
    )
    with other_app.app_context():
        ids = db.session.scalars(
            union_all(
                *(select(table.change_id) for table in NUMBERED),
            )
        ).all()
    # Four sessions, of which two are in the trash, their tombstones, and a message.
    assert len(ids) == 7
    assert 0 < min(ids) <= max(ids) < FAR


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
def files_up_to(max_bytes: int) -> Iterator[None]:
    """Limit the size of files in the block, to imitate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
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


@on_postgresql
def test_a_backup_under_row_security_holds_the_rows_of_all_owners_and_the_policies(
    walled_url: str, postgres: Any, other_app: Flask, tmp_path: Path
) -> None:
    app = create_app(make_settings(walled_url, row_security=1))
    with app.app_context():
        for owner_id in ("alice", "bob"):
            run_write(create_session, owner_id=owner_id, llm_model_name="m")
    assert backup(app, tmp_path / "copy").sessions == 2
    assert restore(other_app, tmp_path / "copy").sessions == 2
    assert restore(app, tmp_path / "copy", is_replacing=True).sessions == 2
    with app.app_context():
        check_row_security()
        db.session.remove()
        db.engine.dispose()
