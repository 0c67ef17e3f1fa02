import pytest

from chatstore.db import db, transaction
from chatstore.fulltext.index_format import MESSAGES, scopes_of
from chatstore.models import Message
from chatstore.store.search.entries import put_entries
from tests.support import on_sqlite
from tests.support.searches import (
    LONG,
    SEARCH,
    damage,
    make_searchable,
    reindex,
    violations,
)


@pytest.fixture
def chat(db_session):
    return make_searchable()


def test_nothing_is_wrong_with_what_was_stored(chat):
    assert violations() == []


# The damage on SQLite, on PostgreSQL, and the text of the violation.
DAMAGES = {
    "a message is missing": (
        "DELETE FROM message_index WHERE rowid = 7",
        "DELETE FROM message_index WHERE id = 7",
        "message 7 has a missing or wrong entry",
    ),
    "a message has fewer words": (
        "INSERT OR REPLACE INTO message_index (rowid, words, scope)"
        " VALUES (7, 'first', 'o s r')",
        "UPDATE message_index SET words = ts_delete(words, 'plan') WHERE id = 7",
        "message 7 has a missing or wrong entry",
    ),
    "a message has other words": (
        "INSERT OR REPLACE INTO message_index (rowid, words, scope)"
        " VALUES (7, 'plan first', 'o s r')",
        "UPDATE message_index SET words = CAST('plan first' AS tsvector) WHERE id = 7",
        "message 7 has a missing or wrong entry",
    ),
    "a name is missing": (
        "DELETE FROM name_index WHERE rowid = (SELECT max(number) FROM sessions)",
        "DELETE FROM name_index WHERE id = (SELECT max(number) FROM sessions)",
        "has a missing or wrong search entry",
    ),
    "a name is another": (
        "UPDATE sessions SET name = 'another' WHERE name = 'a plan'",
        "UPDATE sessions SET name = 'another' WHERE name = 'a plan'",
        "has a missing or wrong search entry",
    ),
    "a name is left over": (
        "UPDATE sessions SET name = NULL WHERE name = 'a plan'",
        "UPDATE sessions SET name = NULL WHERE name = 'a plan'",
        ", without a name",
    ),
    "a session has another owner": (
        "UPDATE sessions SET owner_id = 'bob' WHERE name = 'a plan'",
        "UPDATE sessions SET owner_id = 'bob' WHERE name = 'a plan'",
        "message 7 has a missing or wrong entry",
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
    assert violations() == [
        "message 3 has a missing or wrong entry in the search index"
    ]
    reindex()
    assert violations() == []


def test_who_looks_is_told_how_far_it_has_come(chat):
    shown = []
    assert list(SEARCH.find(shown.append)) == []
    assert [each for each in shown if "checksums" not in each] == [
        "search: 8 messages",
        "search: 2 names",
    ]


@on_sqlite
def test_a_message_that_is_gone_is_found_in_the_index(chat):
    damage("DELETE FROM chat_messages WHERE id = 7", "")
    assert violations() == [
        "the search index has an entry of message 7, which is missing"
    ]
    reindex()
    assert violations() == []
