from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from chatstore.models import ChatSession, Message
from tests.support import count

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def new_session(**columns):
    defaults = {"owner_id": "alice", "created_at": NOW, "last_updated_at": NOW}
    return ChatSession(**defaults | {"llm_model_name": "test-model"} | columns)


def test_defaults_of_a_session(db_session):
    chat = new_session()
    db_session.add(chat)
    db_session.flush()
    db_session.refresh(chat)
    assert chat.id.version == 4
    assert (chat.rag_document_ids, chat.metadata_tags) == ([], [])
    assert (chat.message_count, chat.last_seq, chat.revision) == (0, 0, 1)
    assert (chat.name, chat.last_message_preview) == (None, None)
    assert (chat.pinned, chat.archived, chat.archived_at) == (False, False, None)


def test_instants_come_back_aware_and_whole(db_session):
    chat = new_session()
    db_session.add(chat)
    db_session.flush()
    db_session.refresh(chat)
    assert chat.created_at == NOW
    assert chat.created_at.utcoffset().total_seconds() == 0


@pytest.mark.parametrize("year", [1, 1969, 2026, 2111, 9999])
def test_a_session_has_a_number_whatever_the_clock_says(db_session, year):
    created = [NOW.replace(year=year) + timedelta(microseconds=n) for n in (0, 1)]
    chats = [new_session(created_at=each) for each in created]
    db_session.add_all(chats)
    db_session.flush()
    assert 0 <= chats[0].number < chats[1].number < 2**63


@pytest.mark.parametrize("column", ["owner_id", "created_at", "llm_model_name"])
def test_a_session_without_a_needed_column_is_refused(db_session, column):
    db_session.add(new_session(**{column: None}))
    with pytest.raises(IntegrityError):
        db_session.flush()


def test_deleting_a_session_deletes_its_messages(db_session, make_session):
    chat = make_session(messages=2)
    db_session.delete(db_session.get(ChatSession, chat.id))
    db_session.flush()
    assert count(db_session, Message) == 0


def test_messages_of_a_session_come_in_order(db_session, make_session):
    chat = db_session.get(ChatSession, make_session(messages=3).id)
    assert [message.seq for message in chat.messages] == [1, 2, 3]


LISTS = [[], ["a", "b", "a"], ["", " ", "é", "e\u0301", "数据 😀"], ['"', "\\", "[]"]]


@pytest.mark.parametrize("values", LISTS, ids=range(len(LISTS)))
def test_lists_of_text_are_read_back_as_they_were_stored(db_session, values):
    chat = new_session(rag_document_ids=values, metadata_tags=values[::-1])
    db_session.add(chat)
    db_session.flush()
    db_session.expire_all()
    assert (chat.rag_document_ids, chat.metadata_tags) == (values, values[::-1])


def test_a_session_with_an_instant_of_archiving_is_archived(db_session):
    chat = new_session(archived_at=NOW, pinned=True)
    db_session.add(chat)
    db_session.flush()
    db_session.expire_all()
    assert (chat.archived, chat.archived_at, chat.pinned) == (True, NOW, True)


def test_each_session_has_lists_of_its_own(db_session):
    chats = [new_session(), new_session()]
    db_session.add_all(chats)
    db_session.flush()
    chats[0].metadata_tags.append("x")
    assert chats[1].metadata_tags == []
