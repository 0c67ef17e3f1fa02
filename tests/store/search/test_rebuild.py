from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from chatstore.cli import main
from chatstore.db import db, in_transaction, transaction
from chatstore.fulltext.index_format import MESSAGES, NAMES, scopes_of
from chatstore.models import Message
from chatstore.store.search import rebuild
from chatstore.store.search.entries import put_entries
from chatstore.store.sessions import update_session
from tests.support import on_sqlite, wait_until
from tests.support.searches import (
    LONG,
    SEARCH,
    damage,
    hits,
    new_chat,
    reindex,
    violations,
)


@pytest.fixture
def chat(db_session):
    new_chat("other", "other", "数据库", LONG, "a " * 500, "😀", "...")
    return new_chat("a plan", "first plan", "second plan")


def test_nothing_is_wrong_with_what_was_stored(chat):
    assert violations() == []


# What to do on SQLite, on PostgreSQL, and what is said of it.
DAMAGES = {
    "a message is missing": (
        "DELETE FROM message_index WHERE rowid = 7",
        "DELETE FROM message_index WHERE id = 7",
        "message 7 is not in",
    ),
    "a message has fewer words": (
        "INSERT OR REPLACE INTO message_index (rowid, words, scope)"
        " VALUES (7, 'first', 'o s r')",
        "UPDATE message_index SET words = ts_delete(words, 'plan') WHERE id = 7",
        "message 7 is not in",
    ),
    "a message has other words": (
        "INSERT OR REPLACE INTO message_index (rowid, words, scope)"
        " VALUES (7, 'plan first', 'o s r')",
        "UPDATE message_index SET words = CAST('plan first' AS tsvector) WHERE id = 7",
        "message 7 is not in",
    ),
    "a name is missing": (
        "DELETE FROM name_index WHERE rowid = (SELECT max(number) FROM sessions)",
        "DELETE FROM name_index WHERE id = (SELECT max(number) FROM sessions)",
        "is not in the search index",
    ),
    "a name is another": (
        "UPDATE sessions SET name = 'another' WHERE name = 'a plan'",
        "UPDATE sessions SET name = 'another' WHERE name = 'a plan'",
        "is not in the search index",
    ),
    "a name is left over": (
        "UPDATE sessions SET name = NULL WHERE name = 'a plan'",
        "UPDATE sessions SET name = NULL WHERE name = 'a plan'",
        ", which has none",
    ),
    "a session has another owner": (
        "UPDATE sessions SET owner_id = 'bob' WHERE name = 'a plan'",
        "UPDATE sessions SET owner_id = 'bob' WHERE name = 'a plan'",
        "message 7 is not in",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_found_and_mended(chat, what):
    on_sqlite, on_postgresql, said = DAMAGES[what]
    damage(on_sqlite, on_postgresql)
    assert said in violations()[0]
    reindex()
    assert violations() == []


def test_one_other_word_far_into_a_text_is_found(chat):
    scopes = scopes_of("alice", db.session.get(Message, 3).session_id, "user")
    with transaction():
        put_entries(MESSAGES, [(3, LONG.replace("w9999", "else"), scopes)])
    assert violations() == ["message 3 is not in the search index as it should be"]
    reindex()
    assert violations() == []


def test_who_looks_is_told_how_far_it_has_come(chat):
    shown = []
    assert list(SEARCH.find(shown.append)) == []
    assert [each for each in shown if "adding" not in each] == [
        "search: 8 messages",
        "search: 2 names",
    ]


def test_a_session_that_an_older_version_wrote_is_found_and_mended(chat):
    damage("DELETE FROM name_index", "DELETE FROM name_index")
    damage(*["UPDATE sessions SET number = NULL"] * 2)
    assert len(violations()) == 2
    assert [hit.seq for hit in hits("plan")] == [1, 2] or hits("plan")
    reindex()
    assert violations() == []
    assert [hit.snippet for hit in hits("plan")][0] == "a plan"


@on_sqlite
def test_a_message_that_is_gone_is_found_in_the_index(chat):
    damage("DELETE FROM chat_messages WHERE id = 7", "")
    assert violations() == ["the search index has a message 7, which is missing"]
    reindex()
    assert violations() == []


def test_the_command_indexes_all_anew(chat, database_url):
    damage("DELETE FROM message_index", "DELETE FROM message_index")
    assert hits("second") == []
    environ = {
        "CHATSTORE_DATABASE_URL": database_url,
        "CHATSTORE_SECRET_KEY": "a secret of the tests",
    }
    db.session.remove()
    result = CliRunner().invoke(main, ["reindex"], env=environ)
    assert (result.exit_code, result.output) == (0, "indexed 8 messages, 2 names\n")
    assert violations() == []
    assert [hit.snippet for hit in hits("second")] == ["second plan"]


def test_batches_take_turns(chat, monkeypatch):
    monkeypatch.setattr(rebuild, "BATCH", 3)
    damage("DELETE FROM message_index", "DELETE FROM message_index")
    assert len(violations()) == 8
    reindex()
    assert violations() == []


@pytest.mark.parametrize("name", ["another", None])
def test_a_rename_waits_for_who_writes_the_old_name_anew(app, chat, name):
    renamed = {"owner_id": "alice", "changes": {"name": name}}

    def rename(session_id):
        with app.app_context():
            in_transaction(update_session, session_id, **renamed)

    with ThreadPoolExecutor(1) as other:
        with transaction():
            entries = rebuild.read_entries(NAMES, is_locking=True)
            renaming = other.submit(rename, chat.id)
            wait_until(partial(is_held_up_or_done, renaming))
            put_entries(NAMES, entries)
        renaming.result()
    assert violations() == []


def is_held_up_or_done(work):
    if db.engine.dialect.name == "sqlite":  # there it waits before it begins
        return True
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return work.done() or db.session.scalar(text(waiting)) > 0
