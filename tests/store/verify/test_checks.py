import re

import pytest

from chatstore.db import run_write
from chatstore.store.messages import append_message
from chatstore.store.sessions import delete_session, update_session
from chatstore.store.verify.checks import CHECKS
from tests.support import ROOT, on_sqlite
from tests.support.breakage import damage_rows

ODD_TEXTS = ["", "x" * 200, "x" * 201, "é" * 300, "😀" * 300, " \n ", "%' \\ \x7f"]
OF_A = "session_id = (SELECT id FROM sessions WHERE name = 'a')"
# Damage, and the checks that report it; session a has three messages.
DAMAGES = {
    "a message is lost from the middle": (
        {"seq"},
        f"DELETE FROM chat_messages WHERE {OF_A} AND seq = 2",
        "UPDATE sessions SET message_count = 2 WHERE name = 'a'",
    ),
    "the first message is lost": (
        {"seq"},
        f"DELETE FROM chat_messages WHERE {OF_A} AND seq = 1",
        "UPDATE sessions SET message_count = 2 WHERE name = 'a'",
    ),
    "the numbers begin at 0": (
        {"seq"},
        f"UPDATE chat_messages SET seq = 0 WHERE {OF_A} AND seq = 1",
    ),
    "a number is left out": (
        {"seq", "last message"},
        f"UPDATE chat_messages SET seq = 4 WHERE {OF_A} AND seq = 3",
    ),
    "the next number would be one too high": (
        {"seq", "last message"},
        "UPDATE sessions SET last_seq = 4 WHERE name = 'a'",
    ),
    "all messages are lost": (
        {"seq", "count", "last message"},
        f"DELETE FROM chat_messages WHERE {OF_A}",
    ),
    "a message is doubled": (
        {"seq", "count", "order"},
        "INSERT INTO chat_messages (session_id, seq, timestamp, role, content)"
        " SELECT session_id, 4, timestamp, role, content FROM chat_messages"
        f" WHERE {OF_A} AND seq = 3",
    ),
    "the count is doubled": (
        {"count"},
        "UPDATE sessions SET message_count = 2 * message_count WHERE name = 'a'",
    ),
    "the count of an empty session is 1": (
        {"count"},
        "UPDATE sessions SET message_count = 1 WHERE name = 'empty'",
    ),
    "two messages have one timestamp": (
        {"order"},
        "UPDATE chat_messages SET timestamp ="
        f" (SELECT timestamp FROM chat_messages WHERE {OF_A} AND seq = 1)"
        f" WHERE {OF_A} AND seq = 2",
    ),
    "a message is later than the one after it": (
        {"order"},
        "UPDATE chat_messages SET timestamp ="
        f" (SELECT timestamp FROM chat_messages WHERE {OF_A} AND seq = 3)"
        f" WHERE {OF_A} AND seq = 1",
    ),
    "the preview is another text": (
        {"last message"},
        "UPDATE sessions SET last_message_preview = 'm2' WHERE name = 'a'",
    ),
    "the preview is missing": (
        {"last message"},
        "UPDATE sessions SET last_message_preview = NULL WHERE name = 'a'",
    ),
    "an empty session has a preview": (
        {"last message"},
        "UPDATE sessions SET last_message_preview = 'm' WHERE name = 'empty'",
    ),
    "the last update is older than the last message": (
        {"last message"},
        "UPDATE sessions SET last_updated_at = created_at WHERE name = 'a'",
    ),
    "the last update is newer than the last message": (
        {"last message"},
        "UPDATE sessions SET last_updated_at ="
        " (SELECT created_at FROM sessions WHERE name = 'empty') WHERE name = 'a'",
    ),
    "an empty session was updated before it was created": (
        {"last message"},
        "UPDATE sessions SET last_updated_at ="
        " (SELECT created_at FROM sessions WHERE name = 'a') WHERE name = 'empty'",
    ),
    "a session is gone and its messages are not": (
        {"orphans", "facets"},
        "DELETE FROM sessions WHERE name = 'a'",
    ),
    "a role is unknown": (
        {"role"},
        f"UPDATE chat_messages SET role = 'king' WHERE {OF_A} AND seq = 2",
    ),
    "a role is in capitals": (
        {"role"},
        f"UPDATE chat_messages SET role = 'User' WHERE {OF_A} AND seq = 2",
    ),
}


@pytest.fixture
def chats(make_session, clock):
    """Sessions with three messages, one, and none."""
    names = {"a": 3, "b": 1, "empty": 0}
    tags = {"a": ["t1", "t2"]}
    return {
        name: make_session(
            name=name,
            messages=size,
            metadata_tags=tags.get(name, []),
            metadata={"k": "v"},
        )
        for name, size in names.items()
    }


def broken_checks():
    # test_index.py tests what the search check reports.
    found = {check.name for check in CHECKS if list(check.find())}
    return found - {"search"}


def test_nothing_is_wrong_with_what_the_store_wrote(db_session, make_session):
    chat, gone = make_session(messages=2), make_session(messages=2)
    mine = {"owner_id": chat.owner_id}
    for content in ODD_TEXTS:
        odd = make_session(name=content[:9])
        run_write(append_message, odd.id, content=content, **mine)
    run_write(update_session, chat.id, changes={"name": "x"}, **mine)
    run_write(delete_session, gone.id, **mine)
    assert broken_checks() == set()


def test_nothing_is_wrong_with_an_empty_database(db_session):
    assert broken_checks() == set()


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_found_by_its_own_check(chats, db_session, database_url, what):
    expected, *statements = DAMAGES[what]
    assert broken_checks() == set()
    db_session.rollback()
    damage_rows(database_url, *statements)
    assert broken_checks() == expected


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (
            "a message is lost from the middle",
            "session {a} must have seq 1 to 3, but has 2 messages from 1 to 3",
        ),
        ("the count is doubled", "session {a} has message_count 6, but 3 messages"),
        (
            "two messages have one timestamp",
            "session {a}: message 2 is not later than its predecessor",
        ),
        (
            "the preview is missing",
            "session {a}: the preview is not the beginning of the last text",
        ),
        ("a role is unknown", "message 2 has the unknown role 'king'"),
    ],
)
def test_damage_is_told_in_one_sentence(
    chats, db_session, database_url, what, sentence
):
    damage_rows(database_url, *DAMAGES[what][1:])
    found = [
        each for check in CHECKS if check.name != "search" for each in check.find()
    ]
    assert found == [sentence.format(a=chats["a"].id)]


def test_each_orphan_is_told(chats, db_session, database_url):
    damage_rows(database_url, "DELETE FROM sessions WHERE name IN ('a', 'b')")
    (check,) = [check for check in CHECKS if check.name == "orphans"]
    lost = [str(chats[name].id) for name in "aaab"]
    assert sorted(check.find()) == [
        f"message {number} belongs to session {chat_id}, which is missing"
        for number, chat_id in enumerate(lost, start=1)
    ]


@on_sqlite
def test_a_damaged_file_is_found(make_app, make_session, database_url):
    make_session(name=None)
    damage_rows(
        database_url,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql ="
        " replace(sql, 'name VARCHAR(255)', 'name VARCHAR(255) NOT NULL')"
        " WHERE name = 'sessions'",
    )
    with make_app().app_context():
        assert broken_checks() == {"file"}


def test_no_two_checks_have_one_name():
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_each_check_is_explained():
    text = (ROOT / "docs" / "admin.md").read_text("utf-8")
    (table,) = re.findall(r"\| check \| finds \|\n\|---\|---\|\n((?:\|.*\n)+)", text)
    explained = re.findall(r"^\| `([a-z ]+)` \|", table, re.MULTILINE)
    assert explained == [check.name for check in CHECKS]
