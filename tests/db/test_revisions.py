import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from chatstore.app import create_app
from chatstore.db import db
from chatstore.db.revisions import (
    check_revision,
    current_revision,
    head_revision,
    is_empty,
    known_revisions,
    migrate,
    migrations_folder,
)
from chatstore.errors import WrongRevision
from chatstore.store.stats import count_sessions
from tests.support import clean_environ, make_settings


@pytest.fixture
def unmigrated(empty_database_url: str) -> Iterator[Flask]:
    app = create_app(make_settings(empty_database_url))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def set_revision(db_session, revision):
    db_session.execute(
        text("UPDATE alembic_version SET version_num = :revision"),
        {"revision": revision},
    )
    db_session.commit()


def test_a_migrated_database_is_at_the_head(db_session):
    check_revision()
    assert current_revision() == head_revision()


def test_the_migrations_know_the_head_and_what_came_before():
    assert known_revisions() >= {"0001", head_revision()}
    assert "0000" not in known_revisions()


def test_a_new_database_is_told_how_to_get_its_tables(unmigrated):
    with pytest.raises(WrongRevision, match=r"no tables yet\. Run: chatstore migrate"):
        check_revision()


def test_an_old_database_is_told_how_to_get_newer(db_session):
    set_revision(db_session, "0000")
    with pytest.raises(WrongRevision) as caught:
        check_revision()
    assert caught.value.detail == (
        f"The database is at revision 0000, chatstore needs {head_revision()}."
        " Run: chatstore migrate"
    )


def test_a_newer_database_is_not_told_to_migrate(db_session):
    set_revision(db_session, "9999")
    with pytest.raises(WrongRevision, match="newer than this version") as caught:
        check_revision()
    assert "migrate" not in caught.value.detail


def test_a_newer_database_is_not_migrated(db_session):
    set_revision(db_session, "9999")
    with pytest.raises(WrongRevision, match="newer than this version"):
        migrate()
    assert current_revision() == "9999"


def test_only_a_database_without_tables_is_empty(unmigrated):
    assert is_empty()
    migrate()
    assert not is_empty()


def test_migrating_says_each_step_and_then_that_there_is_none(unmigrated):
    steps = migrate()
    assert steps[0] == "up to 0001: create sessions and messages"
    assert len(steps) == int(head_revision())
    assert migrate() == []


def test_a_database_can_be_used_as_soon_as_it_is_migrated(unmigrated):
    current_revision()  # leaves a transaction open, as a careful caller might
    migrate()
    check_revision()
    assert count_sessions() == 0


def test_the_steps_lie_in_the_folder_of_migrations():
    folder = migrations_folder()
    assert (folder / "env.py").is_file()
    assert list((folder / "versions").glob(f"{head_revision()}_*.py"))


def test_flasks_command_line_knows_the_steps(database_url: str, tmp_path: Path) -> None:
    environ = clean_environ(
        CHATSTORE_DATABASE_URL=database_url, FLASK_APP="chatstore.app"
    )
    command = [sys.executable, "-m", "flask", "db", "current"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith(f"{head_revision()} (head)")


def test_a_server_does_without_alembic() -> None:
    code = "import sys, chatstore.app; print('alembic' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"
