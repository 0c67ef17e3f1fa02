"""The triggers of migration 0011, which number the changes of each owner."""

import pytest
import sqlalchemy as sa

from chatstore.db import db, run_write, transaction
from chatstore.models import ChatSession, Message, MessageChange, SessionTombstone
from chatstore.store.deletions import delete_sessions, hide_sessions
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session, update_session


@pytest.fixture
def chat(db_session):
    with transaction():
        return create_session(owner_id="alice", llm_model_name="model").id


def change_id_of(session_id):
    db.session.rollback()
    query = sa.select(ChatSession.change_id).where(ChatSession.id == session_id)
    return db.session.scalar(query)


def tombstones():
    db.session.rollback()
    columns = SessionTombstone.session_id, SessionTombstone.owner_id
    return db.session.execute(sa.select(*columns)).all()


def test_each_transaction_gives_a_session_a_greater_number(chat):
    numbers = [change_id_of(chat)]
    with transaction():
        update_session(chat, owner_id="alice", changes={"name": "Renamed"})
    numbers.append(change_id_of(chat))
    run_write(append_message, chat, owner_id="alice", content="Hello")
    numbers.append(change_id_of(chat))
    # Neither the ORM nor our code takes part.
    with transaction():
        db.session.execute(sa.text("UPDATE sessions SET pinned = (1 = 1)"))
    numbers.append(change_id_of(chat))
    assert 0 < numbers[0] < numbers[1] < numbers[2] < numbers[3]


def test_a_changed_message_is_noted_and_a_new_one_is_not(chat):
    run_write(append_message, chat, owner_id="alice", content="Hello")
    assert db.session.scalars(sa.select(MessageChange)).all() == []
    with transaction():
        db.session.execute(sa.update(Message).values(content="Hi"))
    (first,) = db.session.scalars(sa.select(MessageChange)).all()
    assert (first.owner_id, first.session_id, first.seq) == ("alice", chat, 1)
    number = first.change_id
    with transaction():
        db.session.execute(sa.update(Message).values(content="Ho"))
    (second,) = db.session.scalars(sa.select(MessageChange)).all()
    assert second.change_id > number


@pytest.mark.parametrize("remove", [delete_sessions, hide_sessions])
def test_a_session_that_disappears_leaves_a_tombstone(chat, remove):
    before = change_id_of(chat)
    with transaction():
        remove(ChatSession.id == chat)
    assert tombstones() == [(chat, "alice")]
    assert db.session.scalar(sa.select(SessionTombstone.change_id)) > before
    with transaction():
        delete_sessions(ChatSession.id == chat)
    assert tombstones() == [(chat, "alice")]


def test_a_session_that_reappears_loses_its_tombstone(chat):
    with transaction():
        hide_sessions(ChatSession.id == chat)
    with transaction():
        values = {"owner_id": "alice", "former_owner_id": None}
        db.session.execute(sa.update(ChatSession).values(values))
    assert tombstones() == []
