"""Interrupted steps resume; a step that cannot work is refused with the reason."""

import signal
import subprocess
import sys
from uuid import UUID

import pytest
import sqlalchemy as sa

from chatstore.app import create_app
from chatstore.db import db
from chatstore.db.revisions import (
    check_revision,
    current_revision,
    head_revision,
    migrate,
    migrations_folder,
)
from chatstore.errors import WrongRevision
from chatstore.fulltext import folding, index_format, words
from chatstore.store.verify.checks import CHECKS
from tests.support import clean_environ, make_settings, on_postgresql, on_sqlite
from tests.support.first_revision import connected, fill
from tests.support.naughty import cannot_be_stored, read_naughty_strings

# Migrates, and kills itself after a statement with the given beginning.
KILLED = """
import os, signal, sys
import sqlalchemy as sa
from chatstore.app import create_app
from chatstore.db import db
from chatstore.db.revisions import migrate
from chatstore.settings import Settings

def kill(connection, cursor, statement, *_):
    if statement.startswith(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

with create_app(Settings.from_env()).app_context():
    sa.event.listen(db.engine, "after_cursor_execute", kill)
    migrate()
"""


@pytest.fixture
def app(empty_database_url):
    """The application on a database of the first revision, with messages."""
    app = create_app(make_settings(empty_database_url))
    with app.app_context():
        migrate("0001")
        fill(empty_database_url, sessions=20, messages=2000)
        yield app
        db.session.remove()
        db.engine.dispose()


def execute(*statements):
    for statement in statements:
        db.session.execute(sa.text(statement))
    db.session.commit()


def assert_all_is_well():
    assert [line for check in CHECKS for line in check.find()] == []
    db.session.rollback()


class Broken(Exception):
    """Imitates the end of the process."""


def break_off_after(batches):
    """Make the driver fail after `batches` batches of entries."""
    left = [batches]

    def count(connection, cursor, statement, *_):
        if "INTO message_index" in statement:
            left[0] -= 1
            if left[0] < 0:
                raise Broken

    sa.event.listen(db.engine, "before_cursor_execute", count)
    return lambda: sa.event.remove(db.engine, "before_cursor_execute", count)


def count_written():
    """Return a list that collects the ids written to the index of messages."""
    written = []

    def count(connection, cursor, statement, parameters, context, is_many):
        if "INTO message_index" in statement and "docsize" not in statement:
            rows = parameters if is_many else [parameters]
            ids = [row[0] for row in rows] if is_many else rows[0].get("ids", rows)
            written.extend(ids)

    sa.event.listen(db.engine, "before_cursor_execute", count)
    return written


def test_a_fill_that_was_broken_off_goes_on_where_it_was(app):
    mend = break_off_after(2)
    with pytest.raises(Broken):
        migrate()
    mend()
    assert current_revision() == "0005"
    db.session.remove()
    written = count_written()
    migrate()
    assert len(written) == 2000 - 2 * 500
    assert current_revision() == head_revision()
    assert_all_is_well()


def test_what_old_code_writes_after_the_fill_is_caught_up_with(app, empty_database_url):
    old = connected(empty_database_url)
    done = []

    def write_as_old_code(connection, cursor, statement, *_):
        # Step 0007 looks for wrong rows after the fill of step 0006.
        if not done and statement.startswith("SELECT id FROM sessions WHERE NOT"):
            done.append(statement)
            with old.begin() as writer:
                for each in (
                    "UPDATE sessions SET metadata_tags = '[\"later\"]'",
                    "DELETE FROM chat_messages WHERE id = 2000",
                    "INSERT INTO chat_messages (session_id, seq, timestamp, role,"
                    " content) SELECT session_id, 1000, timestamp, role, 'later'"
                    " FROM chat_messages WHERE id = 1",
                ):
                    writer.execute(sa.text(each))

    sa.event.listen(db.engine, "before_cursor_execute", write_as_old_code)
    migrate()
    sa.event.remove(db.engine, "before_cursor_execute", write_as_old_code)
    old.dispose()
    assert done
    derived = [each for each in CHECKS if each.name in {"search", "facets", "names"}]
    assert [line for check in derived for line in check.find()] == []
    db.session.rollback()


@on_postgresql
def test_a_change_of_a_table_lets_the_queue_through_and_tries_again(
    app, empty_database_url
):
    db.session.remove()
    others = connected(empty_database_url)
    reader = others.connect()
    reader.execute(sa.text("SELECT count(*) FROM sessions"))  # stays open
    refused = []

    def end_the_reader_at_last(context):
        refused.append(context.original_exception.sqlstate)
        if len(refused) == 2:
            reader.rollback()

    sa.event.listen(db.engine, "handle_error", end_the_reader_at_last)
    migrate("0003")
    sa.event.remove(db.engine, "handle_error", end_the_reader_at_last)
    reader.close()
    others.dispose()
    assert refused == ["55P03"] * 2
    assert current_revision() == "0003"


@on_postgresql
def test_an_invalid_index_is_built_again(app, empty_database_url):
    execute("ALTER TABLE sessions ADD COLUMN name_folded varchar(500) DEFAULT ''")
    execute("CREATE INDEX ix_sessions_created_at ON sessions (owner_id)")
    execute(
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'ix_sessions_created_at'::regclass"
    )
    migrate("0003")
    columns = sa.inspect(db.session.connection()).get_indexes("sessions")
    (found,) = [each for each in columns if each["name"] == "ix_sessions_created_at"]
    assert found["column_names"] == ["owner_id", "created_at", "id"]


@on_sqlite
@pytest.mark.parametrize(
    "last",
    [
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema",
        "PRAGMA schema_version = ",
        "PRAGMA writable_schema = RESET",
        "UPDATE alembic_version SET version_num='0007'",
    ],
)
def test_a_process_killed_while_checks_are_added_leaves_a_sound_file(
    app, empty_database_url, last
):
    db.session.remove()
    environ = clean_environ(
        CHATSTORE_DATABASE_URL=empty_database_url, CHATSTORE_SECRET_KEY="x"
    )
    killed = subprocess.run([sys.executable, "-c", KILLED, last], env=environ)
    assert killed.returncode == -signal.SIGKILL
    assert current_revision() == "0006"
    assert db.session.scalar(sa.text("PRAGMA integrity_check")) == "ok"
    db.session.rollback()
    migrate()
    assert current_revision() == head_revision()
    with pytest.raises(sa.exc.IntegrityError):
        execute("UPDATE chat_messages SET role = 'nobody' WHERE id = 1")
    db.session.rollback()
    assert_all_is_well()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE chat_messages SET role = 'king' WHERE id IN (7, 9)", r"\(id 7, 9\)"),
        (
            "UPDATE chat_messages SET role = 'King' WHERE id < 8",
            "6, 5 and more|and more",
        ),
        ("UPDATE sessions SET revision = 0", "Rows of sessions .*revision >= 1"),
        ("UPDATE sessions SET message_count = -1", "message_count >= 0"),
    ],
)
def test_rows_that_no_check_allows_are_named_and_nothing_is_changed(app, damage, named):
    migrate("0006")
    execute(damage)
    with pytest.raises(WrongRevision, match=named):
        migrate()
    assert current_revision() == "0006"
    inspector = sa.inspect(db.session.connection())
    for table in ("sessions", "chat_messages"):
        assert inspector.get_check_constraints(table) == []


@on_sqlite
def test_checks_are_added_to_a_sound_file_without_copying_it(app):
    migrate("0006")
    before = db.session.scalar(sa.text("PRAGMA page_count"))
    db.session.remove()
    migrate("0007")
    assert db.session.scalar(sa.text("PRAGMA integrity_check")) == "ok"
    assert db.session.scalar(sa.text("PRAGMA page_count")) <= before + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chat_messages SET role = 'king' WHERE id = 1",
        "UPDATE chat_messages SET seq = 0 WHERE id = 1",
        "UPDATE sessions SET message_count = -1",
        "UPDATE sessions SET last_seq = -1",
        "UPDATE sessions SET revision = 0",
    ],
)
def test_the_database_refuses_what_cannot_be(app, statement):
    migrate()
    with pytest.raises(sa.exc.IntegrityError, match="ck_"):
        execute(statement)
    db.session.rollback()


def test_a_newer_schema_that_is_made_for_this_code_is_served(app):
    migrate()
    execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(WrongRevision, match="newer"):
        check_revision()
    execute("UPDATE alembic_version SET supported_revision = '9999'")
    check_revision()
    assert migrate() == []
    execute("UPDATE alembic_version SET oldest_code = '9998'")
    with pytest.raises(WrongRevision, match="newer"):
        check_revision()


def test_the_frozen_words_are_those_that_chatstore_makes():
    # A different format needs a new step that rewrites all entries.
    import importlib.util

    path = migrations_folder() / "frozen" / "words_0006.py"
    spec = importlib.util.spec_from_file_location("frozen_words", path)
    frozen = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(frozen)
    assert frozen.INDEXED_CHARACTERS == words.INDEXED_CHARACTERS
    scopes = index_format.scopes_of("alice", UUID(int=1), "user")
    assert frozen.scopes_of("alice", UUID(int=1), "user") == scopes
    naughty = read_naughty_strings()
    storable = [each for each in naughty if not cannot_be_stored(each)]
    code = [
        "order_4300 10.0.1.50",
        "getUserById v3.11",
        "2026-03-05T10:35:07Z",
        "git push --force -x",
        "?! --",
        "aB" * 20_000,
        " ".join(f"{number % 10}.{number}a" for number in range(12_000)),
        " ".join(map(chr, range(0xF0000, 0xF0000 + 2_000))),
        "-" + "ж" * 50,
        "",
        " \n",
    ]
    for text in [*storable, "数据库很快 " * 200, "a " * 500, *code]:
        assert frozen.fold(text) == folding.fold(text)
        assert frozen.fts5_words(text) == index_format.fts5_words(text)
        assert frozen.tsvector_words(text, scopes) == index_format.tsvector_words(
            text, scopes
        )
