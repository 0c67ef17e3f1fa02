import pytest

from chatstore.db import run_write
from chatstore.errors import ExternalIdTaken, SessionIdTaken
from chatstore.models import ChatSession, Message
from chatstore.store.conversations import (
    create_conversation,
    get_or_create_conversation,
)
from chatstore.store.sessions import SessionJson
from tests.support import count

TURN = {"role": "user", "content": "hi", "metadata": None}
NEW = {"owner_id": "alice", "llm_model_name": "m"}


def test_a_conversation_is_a_session_with_its_messages(db_session):
    chat = run_write(create_conversation, turns=[TURN, TURN], **NEW)
    assert (chat.message_count, chat.last_seq, chat.revision) == (2, 2, 2)
    assert chat.last_message_preview == "hi"
    assert count(db_session, Message) == 2


def test_a_taken_id_leaves_nothing_behind(db_session, make_session):
    theirs = make_session(owner_id="bob")
    mine = make_session(owner_id="alice", external_id="e")
    with pytest.raises(SessionIdTaken):
        run_write(create_conversation, turns=[TURN], session_id=theirs.id, **NEW)
    with pytest.raises(ExternalIdTaken, match=str(mine.id)):
        run_write(create_conversation, turns=[TURN], external_id="e", **NEW)
    assert (count(db_session, ChatSession), count(db_session, Message)) == (2, 0)


def test_a_conversation_is_created_once_for_an_external_id(db_session, make_session):
    make_session(owner_id="bob", external_id="e")
    created = run_write(get_or_create_conversation, "e", turns=[TURN], **NEW)
    found = run_write(get_or_create_conversation, "e", turns=[TURN], **NEW)
    assert isinstance(created, ChatSession)
    assert isinstance(found, SessionJson)
    assert found.revision == created.revision == 2
    assert (count(db_session, ChatSession), count(db_session, Message)) == (2, 1)
