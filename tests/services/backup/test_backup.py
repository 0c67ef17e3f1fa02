from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from chatstore.db import run_write
from chatstore.enums import Role
from chatstore.errors import BackupError
from chatstore.services.backup.backup import write_backup
from chatstore.store.messages import append_messages
from chatstore.web.auth import LOCAL_OWNER
from tests.support import on_sqlite
from tests.support.copies import backup, execute, ignore, refuse, restore, run_and_kill


def test_a_backup_is_private_and_alone(
    app: Flask, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=1)
    folder = tmp_path / "backups"
    folder.mkdir()
    backup(app, folder / "a copy?#%.db")
    assert [each.name for each in folder.iterdir()] == ["a copy?#%.db"]
    assert (folder / "a copy?#%.db").stat().st_mode & 0o777 == 0o600


def test_a_backup_replaces_a_file_only_when_told(
    app: Flask, make_session: Any, tmp_path: Path
) -> None:
    file = tmp_path / "copy"
    file.write_text("precious")
    refuse(backup, app, file, because="already exists. Use --force to replace it")
    assert file.read_text() == "precious"
    backup(app, file, is_replacing=True)
    assert file.read_bytes().startswith((b"SQLite format 3", b"PGDMP"))


def test_a_file_that_comes_meanwhile_is_kept(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "copy"

    def come(progress: str) -> None:
        file.write_text("precious")

    with app.app_context(), pytest.raises(BackupError, match="already exists"):
        write_backup(file, progress=come)
    assert file.read_text() == "precious"
    assert [*tmp_path.glob("copy*")] == [file]


def test_a_backup_goes_where_a_link_points_only_when_told(
    app: Flask, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=1)
    link, target = tmp_path / "link", tmp_path / "disk" / "copy"
    target.parent.mkdir()
    link.symlink_to(target)
    refuse(backup, app, link, because="already exists. Use --force to replace it")
    for _ in ("made", "replaced"):
        backup(app, link, is_replacing=True)
        assert link.readlink() == target
        assert target.read_bytes().startswith((b"SQLite format 3", b"PGDMP"))
        assert [*tmp_path.glob("disk/*")] == [target]
        target.write_text("old")


def test_a_link_in_a_circle_is_no_file(app: Flask, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with app.app_context(), pytest.raises(BackupError, match="is not a regular file"):
        write_backup(link, is_replacing=True, progress=ignore)


def test_a_backup_needs_a_folder(app: Flask, tmp_path: Path) -> None:
    refuse(backup, app, tmp_path / "no" / "copy", because="No such file or directory")
    folder = tmp_path / "folder"
    folder.mkdir()
    with app.app_context(), pytest.raises(BackupError, match="is not a regular file"):
        write_backup(folder, is_replacing=True, progress=ignore)


def test_broken_data_is_not_backed_up(
    app: Flask, make_session: Any, tmp_path: Path
) -> None:
    make_session(messages=2)
    execute(app, "UPDATE sessions SET message_count = 7")
    refuse(
        backup, app, tmp_path / "copy", because="has message_count 7, but 2 messages"
    )
    assert not [*tmp_path.glob("copy*")]


def test_a_killed_backup_leaves_no_file_of_that_name(
    app: Flask, make_session: Any, tmp_path: Path, database_kind: str
) -> None:
    chat = make_session()
    turns = [{"content": "x" * 100, "role": Role.USER, "metadata": None}] * 1000
    with app.app_context():
        for _ in range(4):
            run_write(append_messages, chat.id, owner_id=LOCAL_OWNER, turns=turns)
    when = {"sqlite": "copied", "postgresql": "checking role"}[database_kind]
    run_and_kill(app, "write_backup", tmp_path / "copy", when)
    (left,) = (each for each in tmp_path.glob("copy*") if "journal" not in each.name)
    assert left.name.startswith("copy.partial-")
    assert backup(app, tmp_path / "copy").messages == 4000


@on_sqlite
@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-writer"])
def test_a_backup_never_replaces_the_database_itself(
    app: Flask, make_session: Any, ending: str
) -> None:
    make_session(messages=1)
    path = app.config["CHATSTORE"].sqlite_path
    file = path.with_name(path.name + ending)
    link = path.with_name("link")
    link.symlink_to(file)
    for each in (file, link):
        with (
            app.app_context(),
            pytest.raises(BackupError, match="a file of the database"),
        ):
            write_backup(each, is_replacing=True, progress=ignore)
    if not ending:
        refuse(restore, app, file, because="is the database itself")
