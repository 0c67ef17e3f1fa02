from dataclasses import replace

import pytest
from sqlalchemy import select

from chatstore.db import db, run_write
from chatstore.errors import IdempotencyKeyReused, NotFound
from chatstore.models import Message
from chatstore.services.clearing import clear_session
from chatstore.store.clearing import clear_next, start_clearing
from chatstore.store.deletions import Bounds
from chatstore.store.idempotency import KeyedRequest, find_record
from chatstore.store.messages import append_message
from chatstore.store.sessions import delete_session

ME = {"owner_id": "alice"}
KEYED = KeyedRequest("alice", "k", "POST /x/clear", "0" * 64)


@pytest.fixture
def chat(db_session, make_session):
    return make_session(owner_id="alice", messages=5)


def contents():
    db.session.rollback()
    return db.session.scalars(select(Message.content).order_by(Message.seq)).all()


def answer():
    return run_write(find_record, owner_id="alice", key="k").answer


@pytest.mark.parametrize("keyed", [None, KEYED])
def test_a_session_is_cleared_batch_by_batch(chat, keyed):
    state = run_write(start_clearing, chat.id, keyed=keyed, **ME)
    steps = []
    while not state.is_done:
        state = run_write(clear_next, state, bounds=Bounds(max_messages=2))
        steps.append((state.after, state.cleared, contents().count("")))
    assert steps == [(2, 2, 2), (4, 4, 4), (5, 5, 5)]


def test_a_retry_continues_after_a_crash(chat):
    state = run_write(start_clearing, chat.id, keyed=KEYED, **ME)
    run_write(clear_next, state, bounds=Bounds(max_messages=2))
    run_write(append_message, chat.id, content="later", **ME)
    resumed = run_write(start_clearing, chat.id, keyed=KEYED, **ME)
    assert (resumed.after, resumed.until, resumed.cleared) == (2, 5, 2)
    assert clear_session(chat.id, keyed=KEYED, **ME).cleared == 5
    assert contents() == [""] * 5 + ["later"]
    assert answer() == '{"cleared":5}'


def test_two_requests_with_a_key_clear_each_message_once(chat):
    first = run_write(start_clearing, chat.id, keyed=KEYED, **ME)
    second = run_write(start_clearing, chat.id, keyed=KEYED, **ME)
    first = run_write(clear_next, first, bounds=Bounds(max_messages=2))
    second = run_write(clear_next, second, bounds=Bounds(max_messages=2))
    assert (second.after, second.cleared) == (4, 4)
    first = run_write(clear_next, first, bounds=Bounds(max_messages=2))
    assert (first.is_done, first.cleared) == (True, 5)
    assert run_write(clear_next, second) == replace(first, is_replay=True)


def test_a_finished_clearing_is_repeated_though_the_session_is_gone(chat):
    assert clear_session(chat.id, keyed=KEYED, **ME).cleared == 5
    run_write(delete_session, chat.id, **ME)
    again = clear_session(chat.id, keyed=KEYED, **ME)
    assert (again.cleared, again.is_replay) == (5, True)


def test_a_session_that_is_deleted_meanwhile_is_not_found(chat):
    state = run_write(start_clearing, chat.id, keyed=KEYED, **ME)
    run_write(delete_session, chat.id, **ME)
    with pytest.raises(NotFound):
        run_write(clear_next, state)


def test_a_key_of_another_request_is_refused(chat):
    clear_session(chat.id, keyed=KEYED, **ME)
    other = replace(KEYED, request="POST /y/clear")
    with pytest.raises(IdempotencyKeyReused):
        run_write(start_clearing, chat.id, keyed=other, **ME)
