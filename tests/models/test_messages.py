from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import IntegrityError

from chatstore.models import ChatSession, Message
from tests.support import MISSING_ID, count

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
TEXTS = [
    "",
    " \t\r\n two spaces  ",
    "e\u0301 is not \u00e9",
    "数据库很快 😀 \U0010ffff",
    "\u202eright to left\u2069\ufeff\u2028\u0085\u001b\u007f",
    "'; DROP TABLE sessions; -- %s %(x)s :x ? \\x00 \\u0000",
    "x" * 1024 * 1024,
]
VALUES = [
    {},
    {"": {"": [[], {}, None, True, False, 0, ""]}},
    {"b": 1, "a": 2, "é": 3, "e\u0301": 4, "😀": 5},
    {"large": 2**53 - 1, "small": -(2**53 - 1), "zero": -0.0},
    {"e": 1e20, "most": 1.7976931348623157e308, "least": 5e-324, "third": 1 / 3},
    {"looks like": ["1e400", "NaN", "2026-01-02T03:04:05Z", "\\u0000", "null"]},
]


@pytest.fixture
def chat(db_session, make_session):
    return db_session.get(ChatSession, make_session().id)


def new_message(chat, **columns):
    defaults = {"session_id": chat.id, "seq": 1, "timestamp": NOW, "content": "hi"}
    return Message(**defaults | columns)


def read_back(db_session, message):
    db_session.add(message)
    db_session.flush()
    db_session.expire_all()
    return db_session.scalars(select(Message)).one()


def test_defaults_of_a_message(db_session, chat):
    message = read_back(db_session, new_message(chat))
    assert message.id > 0
    assert (message.role, message.metadata_) == ("user", None)
    assert (message.timestamp, message.session) == (NOW, chat)


def test_no_metadata_is_null_and_not_the_json_null(db_session, chat):
    read_back(db_session, new_message(chat, metadata_=None))
    query = text("SELECT count(*) FROM chat_messages WHERE metadata IS NULL")
    assert db_session.scalar(query) == 1


@pytest.mark.parametrize("content", TEXTS, ids=range(len(TEXTS)))
def test_text_is_read_back_as_it_was_stored(db_session, chat, content):
    message = read_back(db_session, new_message(chat, content=content))
    assert message.content == content


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_metadata_is_read_back_value_for_value(db_session, chat, value):
    message = read_back(db_session, new_message(chat, metadata_=value))
    assert repr(message.metadata_) == repr(value)  # distinguishes 1, 1.0 and True


@pytest.mark.parametrize("column", ["session_id", "seq", "timestamp", "content"])
def test_a_message_without_a_needed_column_is_refused(db_session, chat, column):
    db_session.add(new_message(chat, **{column: None}))
    with pytest.raises(IntegrityError):
        db_session.flush()


def test_a_seq_given_twice_in_a_session_is_refused(db_session, chat):
    db_session.add_all([new_message(chat), new_message(chat)])
    with pytest.raises(IntegrityError):
        db_session.flush()


def test_a_seq_may_be_used_in_each_session(db_session, make_session):
    db_session.add_all([new_message(make_session()), new_message(make_session())])
    db_session.flush()
    assert count(db_session, Message) == 2


def test_a_message_of_no_session_is_refused(db_session, chat):
    db_session.add(new_message(chat, session_id=UUID(MISSING_ID)))
    with pytest.raises(IntegrityError):
        db_session.flush()


def test_the_database_itself_deletes_the_messages_of_a_session(
    db_session, make_session
):
    gone, kept = make_session(messages=3), make_session(messages=2)
    db_session.execute(delete(ChatSession).where(ChatSession.id == gone.id))
    remaining = db_session.scalars(select(Message.session_id)).all()
    assert remaining == [kept.id, kept.id]


def test_a_message_taken_out_of_its_session_is_deleted(db_session, make_session):
    chat = db_session.get(ChatSession, make_session(messages=3).id)
    del chat.messages[1]
    db_session.flush()
    assert db_session.scalars(select(Message.seq).order_by(Message.seq)).all() == [1, 3]


def test_the_id_of_a_deleted_message_is_not_used_again(db_session, chat):
    used = read_back(db_session, new_message(chat)).id
    db_session.execute(delete(Message))
    db_session.commit()
    assert read_back(db_session, new_message(chat)).id > used


def test_the_column_is_called_metadata(db_session, chat):
    db_session.execute(
        insert(Message.__table__).values(
            session_id=chat.id,
            seq=1,
            timestamp=NOW,
            role="tool",
            content="x",
            metadata={"a": 1},
        )
    )
    assert db_session.scalars(select(Message)).one().metadata_ == {"a": 1}


def test_a_long_message_is_shown_short(chat):
    assert len(repr(new_message(chat, content="x" * 10_000))) < 100
