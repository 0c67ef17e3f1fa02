import random

import pytest

from chatstore.db import run_write
from chatstore.store.messages import append_message, append_messages
from chatstore.store.sessions import update_session
from chatstore.store.verify.branches import (
    find_wrong_heads,
    find_wrong_parents,
    find_wrong_paths,
)
from chatstore.store.verify.checks import CHECKS
from tests.support import on_sqlite
from tests.support.breakage import damage_rows
from tests.support.trees import plant, random_parents

MINE = {"owner_id": "alice"}
BRANCH_CHECKS = {"parents", "heads", "paths"}
# Damage to a session of 5 messages: 4 follows 2, and 5 begins again. The head is 4.
DAMAGES = {
    "a parent is later": ({"parents", "heads", "paths"}, "parent_seq = 9", 5),
    "a parent is the message itself": ({"parents"}, "parent_seq = 4", 4),
    "a parent is the one before": ({"parents"}, "parent_seq = 3", 4),
    "a parent is negative": ({"parents", "heads"}, "parent_seq = -1", 5),
}
HEADS = {
    "the head is missing": "head_seq = 9",
    "the head is the last message": "head_seq = 5",
    "the head is 0": "head_seq = 0",
    "the latest parent is another": "latest_parent_seq = 3",
}


def broken_checks():
    return {
        check.name
        for check in CHECKS
        if check.name in BRANCH_CHECKS and list(check.find())
    }


@pytest.fixture
def chat(db_session, make_session):
    chat = make_session(**MINE, name="a", messages=3)
    run_write(append_message, chat.id, content="x", parent_seq=2, **MINE)
    run_write(append_message, chat.id, content="x", parent_seq=0, **MINE)
    run_write(update_session, chat.id, changes={"head_seq": 4}, **MINE)
    assert broken_checks() == set()
    db_session.rollback()
    return chat


def test_nothing_is_wrong_with_what_the_store_wrote(db_session, make_session):
    chance = random.Random(5)
    chat = make_session(**MINE, messages=1)
    for number in range(2, 40):
        place = (
            {"parent_seq": chance.randrange(number)} if chance.random() < 0.5 else {}
        )
        run_write(append_message, chat.id, content="x", **place, **MINE)
        if chance.random() < 0.3:
            changes = {"head_seq": chance.randint(1, number)}
            run_write(update_session, chat.id, changes=changes, **MINE)
    turns = [{"content": "x", "role": "user", "metadata": None}] * 3
    run_write(append_messages, chat.id, turns=turns, parent_seq=5, **MINE)
    run_write(append_messages, chat.id, turns=turns, **MINE)
    assert broken_checks() == set()


def test_nothing_is_wrong_with_random_trees(db_session):
    chance = random.Random(6)
    plant([random_parents(chance, 30) for _ in range(250)])
    assert broken_checks() == set()


def test_nothing_is_wrong_with_what_older_versions_append(chat, db_session):
    plant([[None] * 9], owner_id="bob", head_seq=7)
    assert broken_checks() == set()


@pytest.mark.parametrize("what", DAMAGES)
def test_a_wrong_parent_is_found(chat, database_url, what):
    expected, change, seq = DAMAGES[what]
    damage_rows(
        database_url,
        f"UPDATE chat_messages SET {change} WHERE seq = {seq}",
        f"UPDATE sessions SET head_seq = CASE {seq} WHEN 5 THEN NULL ELSE 4 END",
    )
    assert broken_checks() == expected


def test_a_missing_parent_is_found(chat, database_url):
    damage_rows(database_url, "DELETE FROM chat_messages WHERE seq = 2")
    assert broken_checks() == {"parents", "paths"}


@pytest.mark.parametrize("what", HEADS)
def test_a_wrong_head_is_found(chat, database_url, what):
    damage_rows(database_url, f"UPDATE sessions SET {HEADS[what]}")
    assert "heads" in broken_checks()


@on_sqlite
def test_a_path_that_the_index_of_forks_has_lost_is_found(make_app, chat, database_url):
    damage_rows(
        database_url,
        "CREATE INDEX empty ON chat_messages (session_id, seq, parent_seq)"
        " WHERE seq < 0",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET rootpage ="
        " (SELECT rootpage FROM sqlite_schema WHERE name = 'empty')"
        " WHERE name = 'ix_chat_messages_forks'",
        "DELETE FROM sqlite_schema WHERE name = 'empty'",
    )
    with make_app().app_context():
        assert broken_checks() >= {"paths"}


def test_damage_is_told_in_one_sentence(chat, database_url):
    damage_rows(
        database_url,
        "UPDATE chat_messages SET parent_seq = 4 WHERE seq = 4",
        "UPDATE sessions SET latest_parent_seq = 3",
    )
    assert list(find_wrong_parents()) == [
        f"session {chat.id}: message 4 has parent_seq 4, which is not an earlier"
        " message, or is the one before"
    ]
    assert list(find_wrong_heads()) == [
        f"session {chat.id} has latest_parent_seq 3, but the parent_seq of its latest"
        " fork is 0"
    ]


def test_the_work_for_one_session_is_bounded(chat, database_url):
    damage_rows(database_url, "DELETE FROM chat_messages WHERE seq = 2")
    assert list(find_wrong_paths(max_steps=1)) == []
    (sentence,) = find_wrong_paths(max_steps=3)
    assert sentence.startswith(f"session {chat.id}: the path to message 4 has 3 mess")
