import pytest
from sqlalchemy import select, text, update

from chatstore.db import db, prepared, run_transaction, run_write
from chatstore.fulltext.index_format import MESSAGES
from chatstore.models import (
    ChatSession,
    IdempotencyRecord,
    Message,
    MessageRevision,
)
from chatstore.store.answers import forget_old_answers
from chatstore.store.deletions import Bounds, delete_batch, hide_sessions
from chatstore.store.edits import edit_message
from chatstore.store.erasures import delete_message, delete_next_messages
from chatstore.store.messages import append_message, append_messages
from chatstore.store.search import rebuild
from chatstore.store.verify.index import find_wrong
from tests.support import SESSIONS, count, messages_url, on_sqlite
from tests.support.statements import recorded_statements

ME = {"owner_id": "alice"}
TURN = {"content": "word", "role": "user", "metadata": None}


def post(client, chat, number):
    response = client.post(
        messages_url(chat),
        json={"content": f"secret {number}"},
        headers={"Idempotency-Key": f"k{number}"},
    )
    return response.json["id"]


def answers(chat):
    rows = db.session.execute(
        select(IdempotencyRecord.key, IdempotencyRecord.status)
        .where(IdempotencyRecord.owner_id == chat.owner_id)
        .order_by(IdempotencyRecord.key)
    )
    return [(key, status) for key, status in rows]


def test_answers_of_an_older_version_are_found_by_their_text(
    db_session, alice, make_session
):
    chat = make_session()
    ids = [post(alice, chat, number) for number in range(12)]
    db_session.execute(update(IdempotencyRecord).values(first_seq=None, last_seq=None))
    db_session.commit()
    run_write(delete_message, chat.id, ids[0], owner_id=chat.owner_id)
    assert [key for key, status in answers(chat) if status == 410] == ["k0"]
    db_session.commit()
    for most, found in ((7, True), (7, True), (7, False)):
        mine = {"owner_id": chat.owner_id, "most": most}
        assert run_write(forget_old_answers, chat.id, **mine) is found
    assert {status for _, status in answers(chat)} == {410}


def test_answers_about_another_session_stay(db_session, alice, make_session):
    chat, other = make_session(), make_session()
    message_id = post(alice, chat, 1)
    post(alice, other, 2)
    run_write(delete_message, chat.id, message_id, owner_id=chat.owner_id)
    assert answers(chat) == [("k1", 410), ("k2", 201)]


def test_the_answer_of_a_creation_shows_the_preview(db_session, alice):
    # The creation of a session with messages stores which session it shows.
    key = {"Idempotency-Key": "k1"}
    session = alice.post(SESSIONS, json={}, headers=key).json
    alice.post(f"{SESSIONS}{session['id']}/messages", json={"content": "x"})
    alice.post(f"{SESSIONS}{session['id']}/messages", json={"content": "y"})
    chat = db_session.query(ChatSession).one()
    db_session.execute(
        update(IdempotencyRecord).values(
            session_id=chat.id, first_seq=1, last_seq=1, answer='{"preview":"x"}'
        )
    )
    db_session.commit()
    first, second = db_session.scalars(select(Message.id).order_by(Message.seq)).all()
    run_write(delete_message, chat.id, second, owner_id=chat.owner_id)
    assert answers(chat) == [("k1", 201)]
    run_write(delete_message, chat.id, first, owner_id=chat.owner_id)
    assert answers(chat) == [("k1", 410)]


@pytest.mark.parametrize(
    ("bounds", "batches"),
    [(Bounds(max_messages=3), [3, 3, 1]), (Bounds(max_bytes=10), [5, 2])],
)
def test_a_batch_is_bounded(db_session, make_session, bounds, batches):
    chat = make_session(owner_id="alice", messages=7)
    sizes, last = [], 0
    while last < 7:
        last, size = run_write(
            delete_next_messages,
            chat.id,
            after=last,
            until=7,
            bounds=bounds,
            **ME,
        )
        sizes.append(size)
    assert sizes == batches
    assert db_session.scalars(select(Message.content)).all() == [""] * 7


def test_a_batch_counts_the_revisions_of_its_messages(db_session, make_session):
    chat = make_session(owner_id="alice", messages=4)
    first = db_session.query(Message.id).filter_by(seq=2).scalar()
    run_write(edit_message, chat.id, first, changes={"content": "x" * 999}, **ME)
    run_write(edit_message, chat.id, first, changes={"content": "m2"}, **ME)
    batch = {"after": 0, "until": 4, "bounds": Bounds(max_bytes=500)}
    assert run_write(delete_next_messages, chat.id, **batch, **ME) == (1, 1)
    batch["after"] = 1
    assert run_write(delete_next_messages, chat.id, **batch, **ME) == (2, 1)
    assert count(db_session, MessageRevision) == 0


def test_a_deleted_session_takes_its_revisions_along(db_session, make_session):
    chat = make_session(owner_id="alice", messages=1)
    message_id = db_session.query(Message.id).scalar()
    run_write(edit_message, chat.id, message_id, changes={"content": "x"}, **ME)
    run_write(hide_sessions, ChatSession.id == chat.id)
    assert run_write(delete_batch, chat.id) is None
    assert count(db_session, MessageRevision) == 0


@on_sqlite
def test_a_pending_message_stays_deleted(db_session, make_session):
    chat = make_session(owner_id="alice")
    appended = run_write(append_messages, chat.id, turns=[TURN] * 3, max_words=1, **ME)
    until = rebuild.last_pending()
    late = prepared(rebuild.index_pending, until=until)
    run_write(delete_message, chat.id, appended[2].id, **ME)
    run_transaction(late)
    assert matches("word") == [appended[0].id, appended[1].id]


def test_a_rebuild_does_not_bring_back_a_deleted_text(db_session, make_session):
    chat = make_session(owner_id="alice")
    first = run_write(append_message, chat.id, content="one", **ME)
    second = run_write(append_message, chat.id, content="two", **ME)
    late = prepared(rebuild.reindex_batch, MESSAGES, after=0)
    run_write(delete_message, chat.id, first.id, **ME)
    run_write(edit_message, chat.id, second.id, changes={"content": "new"}, **ME)
    run_transaction(late)
    assert list(find_wrong(MESSAGES, lambda what: None)) == []
    run_write(rebuild.reindex_batch, MESSAGES, after=0)
    assert list(find_wrong(MESSAGES, lambda what: None)) == []


def matches(word):
    query = text(
        "SELECT rowid FROM message_index WHERE message_index MATCH :word ORDER BY rowid"
    )
    return list(db.session.scalars(query, {"word": word}))


def test_answers_are_looked_up_and_not_searched_for(db_session, make_session):
    chat = make_session(owner_id="alice", messages=1)
    with recorded_statements() as statements:
        message_id = db_session.query(Message.id).scalar()
        run_write(delete_message, chat.id, message_id, **ME)
    updates = [each for each in statements if "UPDATE idempotency_records" in each]
    assert len(updates) == 3
    if db.engine.dialect.name == "sqlite":
        of_appends, of_creation, of_old_appends = map(plan_of, updates)
        assert "request=? AND first_seq" in of_appends
        assert "ix_idempotency_records_session_id" in of_creation
        assert "request=? AND first_seq" in of_old_appends


def plan_of(statement):
    connection = db.session.connection()
    values = tuple("" for _ in range(statement.count("?")))
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
    return " ".join(row.detail for row in rows)
