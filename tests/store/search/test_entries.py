"""The search index after rows change in ways that it does not observe."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from chatstore.db import db, transaction
from chatstore.fulltext.index_format import MESSAGES, NAMES, scopes_of
from chatstore.models import ChatSession, Message
from chatstore.store.search.entries import put_entries, put_words, words_of
from tests.support import on_postgresql
from tests.support.crowd import number_after
from tests.support.searches import hits, new_chat, violations
from tests.support.statements import recorded_statements


@pytest.mark.parametrize("is_loaded", [False, True], ids=["unseen", "loaded"])
def test_a_session_that_is_deleted_as_an_object_is_not_in_the_index(
    db_session, is_loaded
):
    kept = new_chat("plan", "plan")
    gone = db_session.get(ChatSession, new_chat("plan", "plan", "plan").id)
    with transaction():
        assert not is_loaded or len(gone.messages) == 2
        db_session.delete(gone)
    assert violations() == []
    assert {hit.session_id for hit in hits("plan")} == {kept.id}


def test_a_message_that_is_taken_out_of_its_session_is_not_in_the_index(db_session):
    chat = db_session.get(ChatSession, new_chat(None, "plan a", "plan b").id)
    with transaction():
        chat.messages.pop()
    assert db_session.query(Message).count() == 1
    assert violations() == []
    assert [hit.snippet for hit in hits("plan")] == ["plan a"]


def test_a_session_without_a_name_is_not_found_by_one_that_was_left(db_session, clock):
    clock.step = timedelta(0)
    first = new_chat()
    number = number_after(first.number)
    if db.engine.dialect.name == "postgresql":
        db_session.connection().exec_driver_sql(
            "ALTER TABLE name_index DROP CONSTRAINT fk_name_index_id_sessions"
        )
    with transaction():
        put_entries(NAMES, [(number, "plan", scopes_of("alice", first.id))])
    assert new_chat().number == number
    assert hits("plan") == []
    new_chat("a plan")
    assert len(hits("plan")) == 1


def test_a_large_batch_is_indexed_by_several_statements(db_session):
    texts = ["plan a", "plan b", "plan c"]
    scopes = scopes_of("alice", new_chat(None, *texts).id, "user")
    words = [words_of(text, scopes) for text in texts]
    with transaction(), recorded_statements() as statements:
        put_words(MESSAGES, [1, 2, 3], words, max_letters=1)
    is_sqlite = db.engine.dialect.name == "sqlite"
    assert sum("INTO message_index" in each for each in statements) == (
        1 if is_sqlite else 3
    )
    assert len(hits("plan")) == 3
    assert violations() == []


@on_postgresql
def test_an_entry_of_up_to_8_kb_stays_in_its_row(db_session):
    chat = new_chat(None, " ".join(f"word{number**2}" for number in range(300)))
    entry = text("SELECT pg_column_size(words) FROM message_index")
    moved = text(
        "SELECT pg_relation_size(reltoastrelid) FROM pg_class"
        " WHERE relname = 'message_index'"
    )
    assert db_session.scalar(entry) > 4000
    assert db_session.scalar(moved) == 0
    assert {hit.session_id for hit in hits("word9")} == {chat.id}
