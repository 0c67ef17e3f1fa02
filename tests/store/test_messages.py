from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import event, select, text, update

from chatstore.db import db, run_write
from chatstore.enums import Order, Role
from chatstore.errors import NotFound
from chatstore.models import ChatSession, Message
from chatstore.store import messages
from chatstore.store.messages import (
    CHUNK_BYTES,
    CHUNK_MESSAGES,
    MessageRange,
    append_message,
    get_last_seq,
    get_message,
    list_messages,
)
from chatstore.store.sessions import delete_session
from tests.support import MISSING_ID, parsed
from tests.support.statements import (
    MOST_TO_READ,
    statements_of_read,
)

MICROSECOND = timedelta(microseconds=1)


def append(chat, content="hi", *, owner_id="alice", **others):
    return run_write(
        append_message, chat.id, owner_id=owner_id, content=content, **others
    )


def chunks_of(chat, wanted=None, *, owner_id="alice", between=lambda: None):
    """Return every chunk of a list; call `between` after each but the last."""
    chunks = [
        list_messages(chat.id, owner_id=owner_id, wanted=wanted or MessageRange())
    ]
    while chunks[-1].rest is not None:
        db.session.rollback()
        between()
        chunks.append(list_messages(chat.id, owner_id=owner_id, wanted=chunks[-1].rest))
    return chunks


def seqs_of(chunks):
    return [message.seq for chunk in chunks for message in parsed(chunk.messages)]


# Ownership


@pytest.mark.parametrize(
    "reach",
    [
        lambda chat: append(chat, owner_id="bob"),
        lambda chat: get_message(chat.id, 1, owner_id="bob"),
        lambda chat: get_last_seq(chat.id, owner_id="bob"),
        lambda chat: chunks_of(chat, owner_id="bob"),
        lambda chat: chunks_of(chat, MessageRange(after=99), owner_id="bob"),
    ],
)
def test_messages_of_somebody_elses_session_cannot_be_reached(
    db_session, make_session, reach
):
    chat = make_session(owner_id="alice", messages=2)
    with pytest.raises(NotFound):
        reach(chat)
    assert get_last_seq(chat.id, owner_id="alice") == 2


@pytest.mark.parametrize(
    "reach",
    [append, chunks_of, lambda chat: get_last_seq(chat.id, owner_id="alice")],
)
def test_messages_of_a_missing_session_are_not_found(db_session, reach):
    with pytest.raises(NotFound, match=MISSING_ID):
        reach(ChatSession(id=UUID(MISSING_ID)))


def test_a_message_is_found_in_its_own_session_only(db_session, make_session):
    chat, other = (make_session(owner_id="alice", messages=1) for _ in range(2))
    (message,) = parsed(chunks_of(chat)[0].messages)
    assert get_message(chat.id, message.id, owner_id="alice").content == "m1"
    with pytest.raises(NotFound, match=f"no message {message.id} in"):
        get_message(other.id, message.id, owner_id="alice")


@pytest.mark.parametrize("message_id", [0, 2**31, 2**53, 2**63 - 1, 2**63, 10**30])
def test_a_message_id_that_none_has_is_not_found(db_session, make_session, message_id):
    chat = make_session(owner_id="alice", messages=1)
    with pytest.raises(NotFound):
        get_message(chat.id, message_id, owner_id="alice")


# Lists


@pytest.mark.parametrize(
    ("wanted", "seqs", "has_more"),
    [
        ({}, [1, 2, 3, 4, 5, 6], False),
        ({"limit": 2}, [1, 2], True),
        ({"limit": 6}, [1, 2, 3, 4, 5, 6], False),
        ({"limit": 7}, [1, 2, 3, 4, 5, 6], False),
        ({"after": 4}, [5, 6], False),
        ({"after": 6}, [], False),
        ({"after": 2, "limit": 2}, [3, 4], True),
        ({"after": 4, "limit": 2}, [5, 6], False),
        ({"before": 3}, [1, 2], False),
        ({"before": 1}, [], False),
        ({"before": 0}, [], False),
        ({"before": 99}, [1, 2, 3, 4, 5, 6], False),
        ({"after": 2, "before": 5}, [3, 4], False),
        ({"after": 5, "before": 2}, [], False),
        ({"after": 1, "before": 6, "limit": 3}, [2, 3, 4], True),
        ({"order": Order.DESC}, [6, 5, 4, 3, 2, 1], False),
        ({"order": Order.DESC, "limit": 2}, [6, 5], True),
        ({"order": Order.DESC, "before": 3, "limit": 2}, [2, 1], False),
        ({"order": Order.DESC, "after": 4}, [6, 5], False),
        ({"role": Role.TOOL}, [2, 4, 6], False),
        ({"role": Role.TOOL, "limit": 2}, [2, 4], True),
        ({"role": Role.TOOL, "limit": 3}, [2, 4, 6], False),
        ({"role": Role.TOOL, "after": 2, "order": Order.DESC}, [6, 4], False),
        ({"role": Role.SYSTEM}, [], False),
        ({"after": 2**31 - 1}, [], False),
        ({"after": 2**53 - 1}, [], False),
        ({"before": 2**53 - 1}, [1, 2, 3, 4, 5, 6], False),
    ],
    ids=str,
)
def test_a_range_lists_what_lies_in_it(db_session, fill, wanted, seqs, has_more):
    chat = fill("abcdef", roles=(Role.TOOL, Role.USER))
    (chunk,) = chunks_of(chat, MessageRange(**wanted))
    assert (seqs_of([chunk]), chunk.has_more) == (seqs, has_more)


def test_an_empty_session_lists_nothing(db_session, make_session):
    (chunk,) = chunks_of(make_session(owner_id="alice"))
    assert (list(chunk.messages), chunk.has_more) == ([], False)


def test_only_the_messages_of_the_session_are_listed(db_session, make_session):
    chat, _ = (make_session(owner_id="alice", messages=2) for _ in range(2))
    (chunk,) = chunks_of(chat)
    assert {message.session_id for message in parsed(chunk.messages)} == {chat.id}
    assert [message.content for message in parsed(chunk.messages)] == ["m1", "m2"]


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("extra", [-1, 0, 1, CHUNK_MESSAGES + 1])
def test_a_chunk_ends_after_so_many_messages(db_session, fill, order, extra):
    size = CHUNK_MESSAGES + extra
    chunks = chunks_of(fill(["x"] * size), MessageRange(order=order))
    expected = list(range(1, size + 1))[:: 1 if order is Order.ASC else -1]
    assert seqs_of(chunks) == expected
    assert all(len(chunk.messages) == CHUNK_MESSAGES for chunk in chunks[:-1])
    assert len(chunks) == -(-size // CHUNK_MESSAGES)
    assert not any(chunk.has_more for chunk in chunks)


@pytest.mark.parametrize("order", Order)
def test_a_chunk_ends_after_so_many_characters(db_session, fill, order):
    quarter = CHUNK_BYTES // 4 + 1
    chunks = chunks_of(fill(["x" * quarter] * 10), MessageRange(order=order))
    assert [len(chunk.messages) for chunk in chunks] == [4, 4, 2]
    assert sorted(seqs_of(chunks)) == list(range(1, 11))


def test_a_message_larger_than_a_chunk_is_a_chunk(db_session, fill):
    huge = "x" * (CHUNK_BYTES + 1)
    chunks = chunks_of(fill([huge, huge, "x", huge]))
    assert [seqs_of([chunk]) for chunk in chunks] == [[1], [2], [3, 4]]


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize(
    ("limit", "has_more"),
    [(CHUNK_MESSAGES, True), (CHUNK_MESSAGES + 3, True), (CHUNK_MESSAGES + 9, False)],
)
def test_a_limit_holds_across_chunks(db_session, fill, order, limit, has_more):
    chat = fill(["x"] * (CHUNK_MESSAGES + 9))
    chunks = chunks_of(chat, MessageRange(limit=limit, order=order))
    assert len(seqs_of(chunks)) == len(set(seqs_of(chunks))) == limit
    assert chunks[-1].has_more is has_more


def test_a_limit_holds_across_chunks_that_end_by_characters(db_session, fill):
    half = "x" * (CHUNK_BYTES // 2 + 1)
    chunks = chunks_of(fill([half] * 6), MessageRange(limit=4))
    assert [seqs_of([chunk]) for chunk in chunks] == [[1, 2], [3, 4]]
    assert chunks[-1].has_more


def test_a_role_is_kept_to_across_chunks(db_session, fill):
    chat = fill(["x"] * (2 * CHUNK_MESSAGES + 20), roles=(Role.USER, Role.TOOL))
    chunks = chunks_of(chat, MessageRange(role=Role.USER))
    assert seqs_of(chunks) == list(range(2, 2 * CHUNK_MESSAGES + 21, 2))
    assert len(chunks) == 2


@pytest.mark.parametrize("order", Order)
def test_what_is_appended_during_a_listing_is_not_in_it(db_session, fill, order):
    chat = fill(["x"] * (2 * CHUNK_MESSAGES + 1))
    chunks = chunks_of(chat, MessageRange(order=order), between=lambda: append(chat))
    assert sorted(seqs_of(chunks)) == list(range(1, 2 * CHUNK_MESSAGES + 2))
    assert get_last_seq(chat.id, owner_id="alice") == 2 * CHUNK_MESSAGES + 3


def test_a_listing_that_began_when_all_fitted_one_chunk_stays_so(db_session, fill):
    chat = fill(["x"] * CHUNK_MESSAGES)
    chunks = chunks_of(chat)
    assert [chunk.rest for chunk in chunks] == [None]


def test_a_listing_whose_session_is_deleted_on_the_way_is_not_found(db_session, fill):
    chat = fill(["x"] * (CHUNK_MESSAGES + 1))
    with pytest.raises(NotFound):
        chunks_of(
            chat,
            between=lambda: run_write(delete_session, chat.id, owner_id="alice"),
        )


def test_a_chunk_is_of_one_moment_though_the_session_is_deleted_meanwhile(
    app, db_session, fill
):
    chat = fill(["x"] * (CHUNK_MESSAGES + 1))
    first = list_messages(chat.id, owner_id="alice", wanted=MessageRange())
    db_session.rollback()

    def delete_before_it_is_read(connection, cursor, statement, *_):
        if "FROM chat_messages" in statement and not deleted:
            deleted.append(chat.id)
            with app.app_context():
                run_write(delete_session, chat.id, owner_id="alice")

    deleted = []
    event.listen(db.engine, "before_cursor_execute", delete_before_it_is_read)
    try:
        second = list_messages(chat.id, owner_id="alice", wanted=first.rest)
        assert seqs_of([second]) == [CHUNK_MESSAGES + 1]
    except NotFound:
        pass
    finally:
        event.remove(db.engine, "before_cursor_execute", delete_before_it_is_read)
    assert deleted


@pytest.mark.parametrize("order", Order)
def test_the_rest_of_a_range_is_what_its_chunk_left_out(order):
    wanted = MessageRange(after=2, before=50, order=order, limit=30, role=Role.TOOL)
    seqs = [3, 4, 5] if order is Order.ASC else [49, 48, 47]
    rest = wanted.following(seqs, end=40)
    bounds = {"after": 5, "before": 40} if order is Order.ASC else {"before": 47}
    assert rest == replace(wanted, limit=27, **bounds)


# Statements


@pytest.mark.parametrize("size", [1, CHUNK_MESSAGES + 1])
def test_reading_messages_costs_few_statements(db_session, fill, size):
    chat = fill(["x"] * size)
    mine = {"owner_id": "alice"}
    for read in (
        statements_of_read(list_messages, chat.id, wanted=MessageRange(), **mine),
        statements_of_read(
            list_messages, chat.id, wanted=MessageRange(limit=1), **mine
        ),
        statements_of_read(
            get_message, chat.id, db.session.scalar(select(Message.id)), **mine
        ),
    ):
        assert len(read) <= MOST_TO_READ


def test_a_page_of_a_session_is_found_by_index(db_session, fill, database_kind):
    chat = fill(["x"] * 2 * CHUNK_MESSAGES)
    db_session.execute(text("ANALYZE"))
    query = (
        "SELECT * FROM chat_messages WHERE session_id = :chat"
        " AND seq > 5 AND seq < 900 ORDER BY seq LIMIT 50"
    )
    if database_kind == "sqlite":
        plan = db_session.execute(text(f"EXPLAIN QUERY PLAN {query}"), {"chat": "x"})
    else:
        plan = db_session.execute(text(f"EXPLAIN {query}"), {"chat": chat.id})
    steps = str(plan.all())
    assert "uq_chat_messages_session_id_seq" in steps or "USING INDEX" in steps
    assert "SCAN chat_messages" not in steps and "Seq Scan" not in steps
    assert "Sort" not in steps and "TEMP B-TREE" not in steps


def test_a_chunk_counts_metadata(make_session, db_session):
    chat, wanted, sizes = make_session(owner_id="alice"), messages.MessageRange(), []
    turn = {"content": "x", "role": "user", "metadata": {"m": "x" * 65_000}}
    run_write(messages.append_messages, chat.id, owner_id="alice", turns=[turn] * 30)
    while wanted is not None:
        chunk = messages.list_messages(chat.id, owner_id="alice", wanted=wanted)
        sizes.append(sum(map(len, chunk.messages)))
        wanted = chunk.rest
    assert sum(sizes) > 30 * 65_000
    assert max(sizes) < messages.CHUNK_BYTES + 70_000


def test_a_chunk_counts_feedback(make_session, db_session):
    chat = make_session(owner_id="alice", messages=100)
    feedback = {"comment": "😀" * 10_000}
    db_session.execute(update(Message).values(feedback=feedback))
    db_session.commit()
    wanted, sizes = messages.MessageRange(), []
    while wanted is not None:
        chunk = messages.list_messages(chat.id, owner_id="alice", wanted=wanted)
        sizes.append(sum(len(each.encode()) for each in chunk.messages))
        wanted = chunk.rest
    assert len(sizes) > 1
    assert max(sizes) < messages.CHUNK_BYTES + 130_000
