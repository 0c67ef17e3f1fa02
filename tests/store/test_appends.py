from datetime import timedelta

import pytest
from sqlalchemy import select

from chatstore.db import run_write, transaction
from chatstore.enums import Role
from chatstore.models import Message
from chatstore.store.messages import (
    append_message,
    get_last_seq,
    get_message,
)
from chatstore.store.sessions import get_session
from tests.support import count
from tests.support.statements import (
    MOST_TO_WRITE,
    statements_of_write,
)

MICROSECOND = timedelta(microseconds=1)


def append(chat, content="hi", *, owner_id="alice", **others):
    return run_write(
        append_message, chat.id, owner_id=owner_id, content=content, **others
    )


STEPS = {
    "stands still": timedelta(0),
    "runs back": timedelta(seconds=-7),
    "crawls": MICROSECOND,
    "runs": timedelta(days=3),
}


def test_appended_message_is_the_next_one(db_session, make_session, clock):
    chat = make_session(owner_id="alice", messages=2)
    message = append(chat, "hi", role=Role.TOOL, metadata={"a": [1, None]})
    assert (message.seq, message.role, message.content) == (3, "tool", "hi")
    assert (message.metadata_, message.timestamp) == ({"a": [1, None]}, clock.now)
    stored = get_message(chat.id, message.id, owner_id="alice")
    for name, value in message._asdict().items():
        assert getattr(stored, name) == value, name


def test_appending_moves_the_session_on(db_session, make_session, clock):
    before = make_session(owner_id="alice", messages=2)
    message = append(before, "the newest")
    chat = get_session(before.id, owner_id="alice")
    assert (chat.message_count, chat.last_seq) == (3, 3)
    assert chat.last_message_preview == "the newest"
    assert chat.last_updated_at == message.timestamp > before.last_updated_at
    assert chat.revision == before.revision + 1
    assert chat.created_at == before.created_at


def test_a_session_read_before_an_append_counts_it_when_read_again(
    db_session, make_session
):
    chat = make_session(owner_id="alice")
    before = get_session(chat.id, owner_id="alice")  # stays in the identity map
    append(chat, "the newest")
    after = get_session(chat.id, owner_id="alice")
    assert (after.message_count, after.last_message_preview) == (1, "the newest")
    assert after is before


def test_a_transaction_reads_the_session_as_it_left_it(db_session, make_session):
    chat = make_session(owner_id="alice")
    with transaction():
        before = get_session(chat.id, owner_id="alice")
        append_message(chat.id, owner_id="alice", content="x")
        after = get_session(chat.id, owner_id="alice")
        assert (after.last_seq, after.revision) == (1, 2)
        assert after is before


def test_appending_leaves_other_sessions_alone(db_session, make_session):
    chat, other = (make_session(owner_id="alice", messages=1) for _ in range(2))
    append(chat, "x")
    after = get_session(other.id, owner_id="alice")
    assert (after.last_seq, after.last_message_preview) == (1, "m1")
    assert (after.revision, after.last_updated_at) == (2, other.last_updated_at)


def test_appending_leaves_the_commit_to_its_caller(db_session, make_session):
    chat = make_session(owner_id="alice", messages=1)
    append_message(chat.id, owner_id="alice", content="x")
    db_session.rollback()
    assert count(db_session, Message) == 1
    assert get_last_seq(chat.id, owner_id="alice") == 1


def test_a_rolled_back_append_leaves_no_gap(db_session, make_session):
    chat = make_session(owner_id="alice", messages=1)
    append_message(chat.id, owner_id="alice", content="x")
    db_session.rollback()
    assert append(chat).seq == 2


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        ("", None),
        (" \n ", None),
        ("short", "short"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200),
        ("😀" * 300, "😀" * 200),
        ("e\u0301" * 150, "e\u0301" * 100),
        (" \n " + "数" * 1000, "数" * 200),
        ("\u3000x\x1c", "x"),
    ],
    ids=range(9),
)
def test_the_preview_is_the_first_200_characters(
    db_session, make_session, content, preview
):
    chat = make_session(owner_id="alice")
    append(chat, content)
    assert get_session(chat.id, owner_id="alice").last_message_preview == preview


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_timestamps_increase_whatever_the_clock_does(
    db_session, make_session, clock, step
):
    chat = make_session(owner_id="alice")
    clock.step = step
    times = [chat.created_at, *(append(chat).timestamp for _ in range(5))]
    expected = max(step, MICROSECOND)
    assert [b - a for a, b in zip(times, times[1:], strict=False)] == [expected] * 5
    stored = select(Message.timestamp).order_by(Message.seq)
    db_session.expire_all()
    assert db_session.scalars(stored).all() == times[1:]


def test_time_goes_on_from_the_latest_when_the_clock_was_ahead(
    db_session, make_session, clock
):
    chat = make_session(owner_id="alice")
    clock.now += timedelta(days=365)
    ahead = append(chat).timestamp
    clock.now -= timedelta(days=365)
    assert append(chat).timestamp == ahead + MICROSECOND
    clock.now += timedelta(days=366)
    assert append(chat).timestamp == clock.now


def test_time_carries_over_the_end_of_a_year(db_session, make_session, clock):
    clock.step = timedelta(0)
    clock.now = clock.now.replace(2026, 12, 31, 23, 59, 59, 999_999)
    chat = make_session(owner_id="alice")
    message = append(chat)
    assert message.timestamp == clock.now + MICROSECOND
    assert message.timestamp.year == 2027


@pytest.mark.parametrize("size", [0, 40])
def test_appending_costs_few_statements_and_reads_no_message(
    db_session, make_session, size
):
    chat = make_session(owner_id="alice", messages=size)
    written = statements_of_write(
        append_message, chat.id, owner_id="alice", content="x"
    )
    assert len(written) <= MOST_TO_WRITE
    touching = [each for each in written if "chat_messages" in each]
    assert len(touching) == 1 and "INSERT INTO chat_messages" in touching[0]
    assert "FROM chat_messages" not in touching[0]
