import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import text

from chatstore.app import create_app
from chatstore.db import db, run_write, sqlite
from chatstore.db.revisions import head_revision
from chatstore.services.doctor import (
    FAIL,
    LOW_DISK_BYTES,
    OK,
    WARN,
    examine,
    examine_file,
)
from chatstore.store.trash import trash_session
from tests.support import (
    ROOT,
    clean_environ,
    free_port,
    make_settings,
    need,
    on_postgresql,
    on_sqlite,
)

# Permissions do not bind root, so another user examines the file.
AS_A_USER = """
import json, os, sys
from pathlib import Path
from chatstore.services.doctor import examine_file
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
found = [(each.check, each.level) for each in examine_file(Path(sys.argv[1]))]
print(json.dumps(found))
"""


def levels(findings):
    return {finding.check: finding.level for finding in findings}


def details(findings):
    return {finding.check: finding.detail for finding in findings}


def examine_url(url):
    settings = make_settings(url)
    app = create_app(settings)
    with app.app_context():
        try:
            return examine(settings)
        finally:
            db.session.remove()
            db.engine.dispose()


def permissions_as_a_user(path):
    done = subprocess.run(
        [sys.executable, "-c", AS_A_USER, path],
        env=clean_environ(),
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    found = json.loads(done.stdout)
    return [level for check, level in found if check == "permissions"]


@pytest.fixture
def private_file(tmp_path):
    path = tmp_path / "chatstore.db"
    path.touch(mode=0o600)
    return path


@on_sqlite
def test_a_sound_sqlite_database_is_fine(app, database_url):
    findings = examine_url(database_url)
    version = sqlite.driver().sqlite_version_info
    expected = OK if version >= sqlite.FIRST_SAFE_VERSION else WARN
    assert levels(findings) == {
        "file system": OK,
        "disk": levels(findings)["disk"],
        "permissions": levels(findings)["permissions"],
        "SQLite": expected,
        "journal_mode": OK,
        "synchronous": OK,
        "revision": OK,
        "trash": OK,
    }
    assert details(findings)["journal_mode"] == "wal"
    assert details(findings)["synchronous"] == "2"
    assert details(findings)["revision"] == head_revision()


@on_sqlite
def test_the_sqlite_that_is_named_is_the_one_in_use(app, database_url, db_session):
    used = db_session.scalar(text("SELECT sqlite_version()"))
    assert used in details(examine_url(database_url))["SQLite"]


def test_an_sqlite_with_the_wal_reset_bug_is_warned_about(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pysqlite3", None)  # imitates a missing package
    findings = examine_url(f"sqlite:///{tmp_path / 'chatstore.db'}")
    is_safe = sqlite3.sqlite_version_info >= (3, 51, 3)
    assert levels(findings)["SQLite"] == (OK if is_safe else WARN)
    assert sqlite3.sqlite_version in details(findings)["SQLite"]
    assert is_safe or "pip install" in details(findings)["SQLite"]


@on_postgresql
def test_a_postgresql_database_is_looked_at_for_durability(database_url):
    findings = examine_url(database_url)
    assert levels(findings) == {
        "PostgreSQL": OK,
        "fsync": FAIL,  # off, to make the tests faster
        "full_page_writes": OK,
        "synchronous_commit": OK,
        "server_encoding": OK,
        "role": OK,
        "revision": OK,
        "row security": OK,
        "trash": OK,
    }
    assert details(findings)["fsync"] == "off"
    assert details(findings)["role"] == "primary"


@on_postgresql
@pytest.mark.parametrize(
    ("value", "level"),
    [("off", FAIL), ("local", OK), ("on", OK), ("remote_apply", OK)],
)
def test_commits_that_do_not_wait_for_the_disk_are_found(database_url, value, level):
    findings = examine_url(f"{database_url}&options=-csynchronous_commit%3D{value}")
    assert levels(findings)["synchronous_commit"] == level
    assert details(findings)["synchronous_commit"] == value


def test_a_database_without_tables_is_told_what_to_run(empty_database_url):
    findings = examine_url(empty_database_url)
    assert levels(findings)["revision"] == FAIL
    assert "chatstore migrate" in details(findings)["revision"]


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_another_revision_is_found(db_session, database_url, revision):
    db_session.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    db_session.commit()
    findings = examine_url(database_url)
    assert levels(findings)["revision"] == FAIL
    assert revision in details(findings)["revision"]


@pytest.mark.parametrize(
    "place", ["127.0.0.1:{port}/x?user=chat", "/x?host={folder}/none&user=chat"]
)
def test_a_postgresql_that_is_away_is_found(tmp_path, place):
    url = f"postgresql://{place.format(port=free_port(), folder=tmp_path)}"
    (finding,) = examine_url(url)
    assert (finding.level, finding.check) == (FAIL, "connection")
    assert "connection" in finding.detail


def test_a_password_is_not_shown(tmp_path):
    url = f"postgresql://chat:hunter2@127.0.0.1:{free_port()}/x"
    assert "hunter2" not in str(examine_url(url))


def test_a_file_that_is_no_database_is_found(tmp_path):
    path = tmp_path / "chatstore.db"
    path.write_text("Not a database at all. " * 100)
    findings = examine_url(f"sqlite:///{path}")
    assert levels(findings)["connection"] == FAIL
    assert "not a database" in details(findings)["connection"]


def test_a_lock_that_cannot_be_taken_is_found(tmp_path):
    path = tmp_path / "chatstore.db"
    path.with_name("chatstore.db-writer").mkdir()
    findings = examine_url(f"sqlite:///{path}")
    assert levels(findings)["connection"] == FAIL
    assert levels(findings)["permissions"] == OK


@pytest.mark.parametrize(
    ("mounts", "level"),
    [
        ("/dev/vda / ext4 rw 0 0", OK),
        ("server:/x / nfs4 rw 0 0", FAIL),
        ("//server/x / cifs rw 0 0", FAIL),
        ("", OK),
    ],
)
def test_network_file_systems_are_found(private_file, mounts, level):
    findings = list(examine_file(private_file, mounts=mounts))
    assert levels(findings)["file system"] == level


@pytest.mark.parametrize(
    ("mode", "level"), [(0o600, OK), (0o640, OK), (0o604, WARN), (0o666, WARN)]
)
def test_a_file_that_every_user_may_read_is_warned_about(private_file, mode, level):
    private_file.chmod(mode)
    assert levels(examine_file(private_file))["permissions"] == level


def test_a_file_that_is_not_there_yet_is_fine(tmp_path):
    findings = levels(examine_file(tmp_path / "chatstore.db"))
    assert (findings["permissions"], findings["file system"]) == (OK, OK)


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "expected"),
    [
        (0o777, 0o660, [OK]),
        (0o777, 0o440, [FAIL]),
        (0o555, 0o660, [FAIL]),
        (0o555, 0o440, [FAIL, FAIL]),
    ],
)
def test_what_cannot_be_written_is_found(folder_mode, file_mode, expected):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "chatstore.db"
        path.touch()
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
        path.chmod(file_mode)
        Path(folder).chmod(folder_mode)
        assert permissions_as_a_user(path) == expected
        Path(folder).chmod(0o700)


def test_the_disk_is_measured(private_file):
    free = shutil.disk_usage(private_file.parent).free
    findings = list(examine_file(private_file))
    assert levels(findings)["disk"] == (OK if free >= LOW_DISK_BYTES else WARN)
    assert details(findings)["disk"].endswith(" MiB free")


def test_a_disk_without_room_is_warned_about():
    need("/proc", Path("/proc/self").exists())  # /proc reports no free space
    findings = list(examine_file(Path("/proc/chatstore.db")))
    assert (levels(findings)["disk"], details(findings)["disk"]) == (WARN, "0 MiB free")


def test_a_trash_that_no_server_empties_is_warned_about(
    app, make_session, database_url, clock
):
    chat = make_session()
    with app.app_context():
        run_write(trash_session, chat.id, owner_id=chat.owner_id)
    assert details(examine_url(database_url))["trash"] == "1 session"
    clock.now += timedelta(days=2)
    findings = examine_url(database_url)
    assert levels(findings)["trash"] == WARN
    assert "1 session should be gone" in details(findings)["trash"]


@on_postgresql
def test_row_security_that_does_not_fit_its_setting_is_found(
    walled_url: str, database_url: str
) -> None:
    def find(url: str, is_on: int) -> str:
        app = create_app(make_settings(url, row_security=is_on))
        with app.app_context():
            findings = examine(app.config["CHATSTORE"])
            db.session.remove()
            db.engine.dispose()
        return next(each.level for each in findings if each.check == "row security")

    assert [find(walled_url, is_on) for is_on in (1, 0)] == ["ok", "warn"]
    assert find(database_url, 1) == "FAIL"
