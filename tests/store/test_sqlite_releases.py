"""The search index with each SQLite driver: Python's own, and the wheel's.

Since SQLite 3.43 the index stores no text; older versions need the text.
"""

import sqlite3
import sys

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from chatstore.app import create_app
from chatstore.cli import main
from chatstore.db import db, run_write
from chatstore.db.revisions import check_revision, migrate
from chatstore.db.sqlite import FIRST_CONTENTLESS_VERSION, driver
from chatstore.errors import WrongRevision
from chatstore.models import Message
from chatstore.store.sessions import delete_session, update_session
from tests.support import make_settings, need, on_sqlite
from tests.support.searches import (
    LONG,
    TEXTS,
    assert_finds_what_python_finds,
    damage,
    found,
    hits,
    new_chat,
    reindex,
    say,
    violations,
)

OWN, WHEEL = DRIVERS = ("sqlite3", "pysqlite3.dbapi2")
pytestmark = on_sqlite


def use(monkeypatch, name):
    """Make the application use this driver from now on."""
    if name == OWN:
        monkeypatch.setitem(sys.modules, "pysqlite3", None)
    else:
        monkeypatch.undo()
    need(f"a {name} to compare with", driver().__name__ == name)


@pytest.fixture(params=DRIVERS)
def chats(request, monkeypatch, empty_database_url):
    """A new database for each driver, with some sessions, and its context."""
    use(monkeypatch, request.param)
    app = create_app(make_settings(empty_database_url))
    with app.app_context():
        assert db.engine.dialect.dbapi.__name__ == request.param
        migrate()
        new_chat("other", "other", "数据库", LONG, "a " * 500, "😀", "...")
        yield new_chat("a plan", "first plan", "second plan", "Café")
        db.session.remove()
        db.engine.dispose()


def test_an_index_keeps_no_text_where_sqlite_can_do_without(chats):
    sql = db.session.scalar(
        text("SELECT sql FROM sqlite_schema WHERE name = 'message_index'")
    )
    is_new = db.engine.dialect.dbapi.sqlite_version_info >= FIRST_CONTENTLESS_VERSION
    assert ("contentless_delete" in sql) == is_new
    kept = db.session.scalar(text("SELECT words FROM message_index WHERE rowid = 7"))
    assert kept == (None if is_new else "first plan")


def test_what_was_said_is_found(chats):
    assert violations() == []
    assert [hit.snippet for hit in hits("plan")] == [
        "a plan",
        "first plan",
        "second plan",
    ]
    assert found("cafe") == {"Café"}
    assert found('"first plan" -second') == {"first plan"}
    assert len(hits("w15000")) == len(hits('"w100 w101"')) == 1


def test_what_is_found_is_what_python_finds(chats):
    say(new_chat(), *TEXTS)
    contents = dict(db.session.execute(select(Message.id, Message.content)).all())
    for q in (
        "b",
        "ab*",
        '"b a"',
        "数据",
        "b -c",
        "🚀",
        "a b c",
        '"a b c"',
        "库",
        "w1*",
    ):
        assert assert_finds_what_python_finds(q, contents), q


def test_what_is_deleted_or_renamed_is_not_found(chats):
    run_write(update_session, chats.id, owner_id="alice", changes={"name": "renamed"})
    assert [hit.snippet for hit in hits("plan")] == ["first plan", "second plan"]
    run_write(delete_session, chats.id, owner_id="alice")
    assert hits("plan") == hits("renamed") == []
    assert violations() == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM message_index WHERE rowid = 7",
        "INSERT OR REPLACE INTO message_index (rowid, words, scope)"
        " VALUES (7, 'plan first', 'o s r')",
        "DELETE FROM name_index",
    ],
)
def test_damage_is_found_and_mended(chats, statement):
    damage(statement, "")
    assert violations()
    reindex()
    assert violations() == []
    assert len(hits("plan")) == 3


# From one driver to the other


@pytest.fixture
def moved(monkeypatch, empty_database_url):
    """Create a database with one driver; return its application with the other."""
    apps = []

    def move(maker, user):
        use(monkeypatch, maker)
        with create_app(make_settings(empty_database_url)).app_context():
            migrate()
            new_chat("a plan", "first plan", "second plan")
            db.session.remove()
            db.engine.dispose()
        use(monkeypatch, user)
        apps.append(create_app(make_settings(empty_database_url)))
        return apps[-1]

    yield move
    for app in apps:
        with app.app_context():
            db.engine.dispose()


def test_a_newer_sqlite_goes_on_with_the_index_of_an_older_one(moved):
    with moved(OWN, WHEEL).app_context():
        check_revision()
        assert len(hits("plan")) == 3
        new_chat("another plan", "third plan")
        assert len(hits("plan")) == 5
        assert violations() == []


SENTENCE = (
    f"SQLite {sqlite3.sqlite_version} cannot read the search index, which a newer"
    " release created. Run: pip install 'chatstore[sqlite]'"
)


def test_an_older_sqlite_refuses_the_index_of_a_newer_one(moved, empty_database_url):
    need("an old SQLite", sqlite3.sqlite_version_info < FIRST_CONTENTLESS_VERSION)
    with moved(WHEEL, OWN).app_context(), pytest.raises(WrongRevision) as caught:
        check_revision()
    assert caught.value.detail == SENTENCE
    environ = {
        "CHATSTORE_DATABASE_URL": empty_database_url,
        "CHATSTORE_SECRET_KEY": "a secret of the tests",
    }
    for command, shown in (
        ("serve", f"Error: {SENTENCE}"),
        ("verify", f"Error: {SENTENCE}"),
        ("reindex", f"Error: {SENTENCE}"),
        ("doctor", f"FAIL  revision         {SENTENCE}"),
    ):
        result = CliRunner().invoke(main, [command], env=environ)
        assert result.exit_code == 1, result.output
        assert shown in result.output


def test_a_server_on_it_is_not_ready(moved):
    need("an old SQLite", sqlite3.sqlite_version_info < FIRST_CONTENTLESS_VERSION)
    answer = moved(WHEEL, OWN).test_client().get("/readyz")
    assert answer.status_code == 503
    assert SENTENCE in answer.get_data(as_text=True)
