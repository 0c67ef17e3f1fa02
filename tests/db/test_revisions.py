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
    is_first_run,
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
        f"The database is at revision 0000, but chatstore needs {head_revision()}."
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


def execute(statement):
    db.session.execute(text(statement))
    db.session.commit()


def test_a_first_migration_that_was_broken_off_is_still_the_first(unmigrated):
    assert is_first_run()
    execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert is_first_run()
    for revision in sorted(known_revisions()):
        assert is_first_run(), revision
        migrate(revision)
    assert current_revision() == head_revision()
    assert not is_first_run()


SESSION = (
    "INSERT INTO sessions (id, owner_id, created_at, last_updated_at, llm_model_name,"
    " rag_document_ids, metadata_tags, message_count, last_seq, pinned, revision)"
    " VALUES ('507de50be29c4a259b8ad2d7410a926d', 'a', '2026-01-01T00:00:00.000000Z',"
    " '2026-01-01T00:00:00.000000Z', 'm', '[]', '[]', 0, 0, FALSE, 1)"
)


def test_an_old_database_with_a_session_was_migrated_on_purpose(unmigrated):
    migrate("0001")
    execute(SESSION)
    assert not is_first_run()


@pytest.mark.parametrize("revision", ["9999", "0000", "1a2b3c", None])
@pytest.mark.parametrize("table", ["sessions", "customers"])
def test_a_database_of_others_is_left_alone(unmigrated, revision, table):
    execute(f"CREATE TABLE {table} (id VARCHAR(32))")
    assert not is_first_run()
    execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    if revision:
        execute(f"INSERT INTO alembic_version VALUES ('{revision}')")
    assert not is_first_run()


def test_a_revision_of_others_does_not_make_their_tables_ours(unmigrated):
    execute("CREATE TABLE sessions (id VARCHAR(32))")
    execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute("INSERT INTO alembic_version VALUES ('0001')")
    assert not is_first_run()


def test_migrating_says_each_step_and_then_that_there_is_none(unmigrated):
    steps = migrate()
    assert steps[0] == "up to 0001: create sessions and messages"
    assert len(steps) == int(head_revision())
    assert migrate() == []


def test_a_database_can_be_used_as_soon_as_it_is_migrated(unmigrated):
    current_revision()  # leaves a transaction open, as a caller that checks first would
    migrate()
    check_revision()
    assert count_sessions() == 0


def test_the_steps_lie_in_the_folder_of_migrations():
    folder = migrations_folder()
    assert (folder / "env.py").is_file()
    assert list((folder / "versions").glob(f"{head_revision()}_*.py"))


def test_alembics_command_line_knows_the_steps(
    database_url: str, tmp_path: Path
) -> None:
    command = ["-m", "alembic", "-c", str(migrations_folder() / "alembic.ini")]
    result = subprocess.run(
        [sys.executable, *command, "current"],
        cwd=tmp_path,
        env=clean_environ(CHATSTORE_DATABASE_URL=database_url),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith(f"{head_revision()} (head)")


def test_a_server_does_without_alembic() -> None:
    code = "import sys, chatstore.app; print('alembic' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"
