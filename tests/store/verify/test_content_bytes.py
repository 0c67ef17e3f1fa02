import pytest

from chatstore.db import prepared, run_write
from chatstore.models import Message
from chatstore.store.edits import edit_message
from chatstore.store.trash import trash_session
from chatstore.store.verify.content_bytes import find_wrong_bytes
from tests.support.breakage import damage_rows


@pytest.fixture
def chat(db_session, make_session):
    return make_session(messages=2)


def test_right_bytes_are_accepted(chat, db_session, make_session):
    make_session()
    first = db_session.query(Message).filter_by(seq=1).one()
    keywords = {"owner_id": "local", "changes": {"content": "é", "metadata": {"a": 1}}}
    run_write(prepared(edit_message, chat.id, first.id, **keywords))
    assert list(find_wrong_bytes()) == []


@pytest.mark.parametrize("is_trashed", [False, True])
def test_wrong_bytes_are_found(chat, database_url, is_trashed):
    if is_trashed:
        run_write(trash_session, chat.id, owner_id="local")
    damage_rows(database_url, "UPDATE sessions SET content_bytes = 1")
    (found,) = find_wrong_bytes()
    assert found.startswith(f"session {chat.id} counts 1 bytes, but its messages have ")
