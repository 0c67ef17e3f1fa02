from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest

from chatstore.db import run_write, transaction
from chatstore.errors import ExternalIdTaken, SessionIdTaken
from chatstore.models import ChatSession, Message
from chatstore.store.conversations import (
    create_conversation,
    get_or_create_conversation,
)
from chatstore.store.sessions import SessionJson, update_session
from tests.support import MISSING_ID, count, is_held_up, wait_until

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


def while_waiting(app, work, held_up):
    """Run `work` in a transaction that ends when `held_up` waits for it."""

    def other():
        with app.app_context():
            return held_up()

    with ThreadPoolExecutor(1) as thread:
        with transaction():
            work()
            waiting = thread.submit(other)
            wait_until(partial(is_held_up, waiting))
        return waiting.result()


def test_a_session_that_is_just_being_created_is_waited_for(app, db_session):
    put = partial(get_or_create_conversation, "e", turns=[TURN], **NEW)
    found = while_waiting(app, put, partial(run_write, put))
    assert isinstance(found, SessionJson)
    assert (count(db_session, ChatSession), count(db_session, Message)) == (1, 1)


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ({"session_id": UUID(MISSING_ID)}, SessionIdTaken),
        ({"external_id": "e"}, ExternalIdTaken),
    ],
)
def test_an_id_that_is_just_being_taken_is_refused(app, db_session, ids, error):
    create = partial(create_conversation, turns=[TURN], **ids, **NEW)
    with pytest.raises(error):
        while_waiting(app, create, partial(run_write, create))
    assert (count(db_session, ChatSession), count(db_session, Message)) == (1, 1)


def test_an_external_id_that_is_just_being_taken_changes_nothing(
    app, db_session, make_session
):
    chat = make_session(owner_id="alice", name="n")
    create = partial(create_conversation, external_id="e", **NEW)
    change = partial(update_session, chat.id, owner_id="alice")
    changes = {"external_id": "e", "name": "m"}
    with pytest.raises(ExternalIdTaken):
        while_waiting(app, create, partial(run_write, change, changes=changes))
    db_session.expire_all()
    assert db_session.get(ChatSession, chat.id).name == "n"
