from datetime import timedelta

from chatstore.db import run_write
from chatstore.enums import Role
from chatstore.store.messages import append_message
from chatstore.store.stats import count_messages, count_sessions, get_stats


def test_an_empty_database_counts_nothing(db_session):
    stats = get_stats()
    assert stats.pop("bytes on disk") > 0
    assert stats == {
        "sessions": 0,
        "messages": 0,
        "owners": 0,
        "sessions in the trash": 0,
        "sessions being deleted": 0,
        "newest activity": "never",
    }


def test_stats_count_all_owners_together(db_session, make_session, clock):
    make_session(owner_id="alice", messages=2)
    chat = make_session(owner_id="bob", messages=1, llm_model_name="big")
    run_write(append_message, chat.id, owner_id="bob", content="x", role=Role.ASSISTANT)
    newest = clock.iso
    make_session(owner_id="bob", llm_model_name="big")
    stats = get_stats()
    assert stats.pop("bytes on disk") > 0
    assert newest < stats.pop("newest activity") == clock.iso
    assert list(stats.items()) == [
        ("sessions", 3),
        ("messages", 4),
        ("owners", 2),
        ("messages by assistant", 1),
        ("messages by user", 3),
        ("sessions with big", 2),
        ("sessions with test-model", 1),
        ("sessions in the trash", 0),
        ("sessions being deleted", 0),
    ]


def test_the_newest_activity_is_the_latest_message(db_session, make_session, clock):
    chat = make_session()
    clock.step = timedelta(days=1)
    make_session()
    run_write(append_message, chat.id, owner_id=chat.owner_id, content="x")
    assert get_stats()["newest activity"] == clock.iso


def test_counts_are_of_what_is_there(db_session, make_session):
    make_session(messages=2)
    make_session()
    assert (count_sessions(), count_messages()) == (2, 2)
