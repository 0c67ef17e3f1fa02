import pytest
from sqlalchemy import delete, select

from chatstore.db import db, prepared, run_write, transaction
from chatstore.models import ChatSession, Message, SessionFacet
from chatstore.store.edits import edit_message
from chatstore.store.messages import append_message
from chatstore.store.rebuild_lists import (
    correct_sums,
    find_wrong_sums,
    rebuild_batch,
)
from chatstore.store.trash import trash_session
from chatstore.store.verify.lists import find_wrong_facets, find_wrong_names
from chatstore.store.verify.tokens import find_wrong_tokens


def relisted(**bounds):
    counts, last = [], None
    while batch := run_write(rebuild_batch, after=last, **bounds):
        last = batch.last
        counts.append(batch.count)
    return counts


def violations():
    found = [*find_wrong_facets(), *find_wrong_names()]
    db.session.rollback()
    return len(found)


def test_what_lists_find_sessions_by_is_written_again(db_session, make_session):
    sessions = 101  # more than verify reads at a time
    for number in range(sessions):
        make_session(
            rag_document_ids=["a", "b"],
            metadata_tags=[str(number)],
            metadata={"number": number, "list": []},
        )
    with transaction():
        db.session.execute(delete(SessionFacet))
        db.session.execute(ChatSession.__table__.update().values(name_folded="other"))
    assert violations() == 2 * sessions
    assert relisted() == [sessions]
    assert violations() == 0


@pytest.mark.parametrize(
    "columns", [{"rag_document_ids": ["x" * 40]}, {"metadata": {"k": "x" * 35}}]
)
def test_a_batch_is_bounded_in_bytes(db_session, make_session, columns):
    for _ in range(5):
        make_session(**columns)
    assert relisted(max_bytes=100) == [2, 2, 1]
    assert relisted(max_bytes=10) == [1] * 5


USAGE = {"usage": {"input_tokens": 3, "output_tokens": 2}}


def test_token_sums_are_written_again(db_session, make_session):
    chats = [make_session(messages=1) for _ in range(3)]
    for chat in chats[:2]:
        keywords = {"owner_id": "local", "content": "x", "extra": USAGE}
        run_write(append_message, chat.id, **keywords)
    with transaction():
        wrong = {"input_tokens": 1, "output_tokens": 1}
        db.session.execute(ChatSession.__table__.update().values(wrong))
    assert len(list(find_wrong_tokens())) == 3
    db.session.rollback()
    batch = run_write(rebuild_batch, after=None)
    sums = find_wrong_sums(batch, after=None)
    db.session.rollback()
    assert {each.session_id for each in sums} == {chat.id for chat in chats}
    # A session that changes meanwhile is left to the next attempt.
    run_write(append_message, chats[0].id, **keywords)
    corrected = {each.session_id: run_write(correct_sums, each) for each in sums}
    assert corrected == {chat.id: chat is not chats[0] for chat in chats}
    (left,) = find_wrong_sums(batch, after=None)
    db.session.rollback()
    assert run_write(correct_sums, left)
    assert list(find_wrong_tokens()) == []
    assert find_wrong_sums(batch, after=None) == []
    assert find_wrong_sums(batch, after=batch.last) == []


def test_bytes_are_counted_again(db_session, make_session):
    chats = [make_session(messages=count) for count in (2, 0)]
    first = db.session.scalars(select(Message).where(Message.seq == 1)).one()
    keywords = {"owner_id": "local", "changes": {"content": "é", "metadata": {"a": 1}}}
    edit = prepared(edit_message, chats[0].id, first.id, **keywords)
    run_write(edit)

    def counted():
        query = select(ChatSession.id, ChatSession.content_bytes)
        return dict(db.session.execute(query).all())

    right = counted()
    assert right[chats[1].id] == 0 < right[chats[0].id]
    with transaction():
        db.session.execute(ChatSession.__table__.update().values(content_bytes=7))
    batch = run_write(rebuild_batch, after=None)
    for sums in find_wrong_sums(batch, after=None):
        db.session.rollback()
        assert run_write(correct_sums, sums)
    assert counted() == right


def test_a_session_in_the_trash_gets_its_name_and_no_facets(db_session, make_session):
    chat = make_session(owner_id="alice", name="Name", metadata_tags=["a"])
    run_write(trash_session, chat.id, owner_id="alice")
    with transaction():
        db.session.execute(ChatSession.__table__.update().values(name_folded="other"))
    assert violations() == 1
    assert relisted() == [1]
    assert violations() == 0
