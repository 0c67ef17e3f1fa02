from uuid import uuid4

import pytest
from sqlalchemy import select

from chatstore.clock import utc_now
from chatstore.db import db, run_write
from chatstore.demo.conversations import load_conversations
from chatstore.models import ChatSession, Message, MessageFeedback, UsageCount
from chatstore.services.demo import add_turns, fill_demo, remove_demo
from chatstore.services.usage import add_usage
from chatstore.store.trash import trash_session
from chatstore.store.verify.checks import CHECKS
from tests.support import count

TOTAL = len(load_conversations())
MESSAGES = sum(len(each.turns) for each in load_conversations())


@pytest.fixture
def own(db_session, make_session):
    return make_session(owner_id="alice", messages=2)


def fill():
    return fill_demo("alice", progress=lambda done, total: None)


def remove():
    return remove_demo("alice", progress=lambda done, total: None)


def violations():
    return [line for check in CHECKS for line in check.find()]


def test_the_demo_comes_once_and_goes_without_a_trace(own):
    before = utc_now()
    assert (fill(), fill()) == (TOTAL, 0)
    assert count(db.session, Message) == MESSAGES + 2
    assert violations() == []
    chats = db.session.scalars(select(ChatSession).where(ChatSession.id != own.id))
    for chat in chats.all():
        assert chat.created_at < chat.last_updated_at < before
        assert chat.archived_at is None or chat.archived_at == chat.last_updated_at
    add_usage()
    chat = db.session.scalar(select(ChatSession).where(ChatSession.pinned))
    run_write(trash_session, chat.id, owner_id="alice")
    assert fill() == 0

    assert remove() == TOTAL
    db.session.rollback()
    assert db.session.scalars(select(ChatSession.id)).all() == [own.id]
    assert count(db.session, Message) == 2
    assert count(db.session, MessageFeedback) == 0
    assert count(db.session, UsageCount) == 0
    assert violations() == []
    assert remove() == 0


def test_a_conversation_that_stopped_halfway_is_finished(own):
    longest = max(load_conversations(), key=lambda each: len(each.turns))
    run_write(add_turns, longest, uuid4(), 0, "alice", utc_now())
    assert count(db.session, Message) < len(longest.turns)
    assert fill() == TOTAL
    assert count(db.session, Message) == MESSAGES + 2
    assert violations() == []
