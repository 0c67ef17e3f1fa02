import threading

import pytest
from sqlalchemy import event, func, select, text

from chatstore.db import db, run_write
from chatstore.models import ChatSession, Message
from chatstore.services.background import background_worker_of, init_background
from chatstore.store import deletions
from chatstore.store.deletions import BOUNDS, Bounds
from chatstore.store.messages import append_messages
from chatstore.store.sessions import delete_session
from tests.support import (
    SESSIONS,
    LiveServer,
    count,
    session_url,
    wait_for_deletions,
    wait_until,
)
from tests.support.proxy import Lost, behind_proxy

BATCH = BOUNDS.max_messages
MANY = 2 * BATCH + 1


FEW = Bounds(max_messages=3)


def delete(chat):
    """Delete the session as a shell does, which leaves its messages undeleted."""
    assert run_write(delete_session, chat.id, owner_id=chat.owner_id, bounds=FEW)


@pytest.fixture
def make_large(app, make_session):
    """Create a session with more messages than one transaction deletes."""

    def make(messages=MANY):
        chat = make_session()
        turn = {"role": "user", "content": "m", "metadata": None}
        with app.app_context():
            run_write(
                append_messages,
                chat.id,
                owner_id=chat.owner_id,
                turns=[turn] * messages,
            )
        return chat

    return make


def rows(db_session):
    db_session.remove()
    return count(db_session, ChatSession), count(db_session, Message)


@pytest.fixture
def working(app):
    """Try again soon after an error; wait for the deleting thread at the end."""
    init_background(app, pause_seconds=0.01)
    yield
    wait_for_deletions()


def test_a_request_has_it_done_in_the_background(alice, make_large, working):
    chat = make_large()
    assert alice.delete(f"{session_url(chat)}?purge=true").status_code == 204
    wait_for_deletions()
    with alice.application.app_context():
        assert rows(db.session) == (0, 0)


def test_a_bulk_change_with_a_key_has_it_done_too(alice, make_large, working):
    chats = [make_large(BATCH // 2) for _ in range(3)]
    answer = alice.post(
        f"{SESSIONS}bulk",
        json={"action": "purge", "ids": [str(chat.id) for chat in chats]},
        headers={"Idempotency-Key": "once"},
    )
    assert answer.json["changed"] == 3
    wait_for_deletions()
    with alice.application.app_context():
        assert rows(db.session) == (0, 0)


def test_each_batch_is_committed_before_the_next(alice, app, make_large, working):
    chat, left = make_large(), []

    def look(session):
        with db.engine.connect() as connection:
            left.append(connection.scalar(select(func.count(Message.id))))

    event.listen(db.session, "after_commit", look)
    try:
        alice.delete(f"{session_url(chat)}?purge=true")
        wait_for_deletions()
    finally:
        event.remove(db.session, "after_commit", look)
    # The lock is free between two batches, so each batch is seen on its own.
    assert sorted(set(left), reverse=True) == [MANY, MANY - BATCH, 1, 0]


def test_a_deletion_that_is_taken_back_deletes_nothing(
    app, db_session, make_session, working
):
    chat = make_session(messages=10)
    assert delete_session(chat.id, owner_id=chat.owner_id, bounds=FEW)
    db_session.rollback()
    background_worker_of(app).start()
    wait_for_deletions()
    assert rows(db_session) == (1, 10)


def test_what_is_hidden_while_the_thread_ends_is_not_forgotten(
    app, make_session, working
):
    chats = [make_session(messages=4) for _ in range(20)]
    with app.app_context():
        while chats:
            delete(chats.pop())
            background_worker_of(app).start()
            wait_until(lambda: rows(db.session)[0] == len(chats))
        wait_for_deletions()
        assert rows(db.session) == (0, 0)


on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"])


@on_postgresql
@pytest.mark.parametrize("lost", [Lost.BEFORE, Lost.AFTER])
def test_a_commit_whose_answer_was_lost_is_followed_too(
    app, database_url, make_large, working, lost
):
    chat = make_large()
    with behind_proxy(database_url) as (proxy, client):
        proxy.lose("COMMIT", lost)
        assert client.delete(f"{session_url(chat)}?purge=true").status_code == 503
        wait_for_deletions()
    with app.app_context():
        assert rows(db.session) == ((1, MANY) if lost is Lost.BEFORE else (0, 0))


@on_postgresql
@pytest.mark.parametrize("times", [1, 4])
def test_so_is_that_of_a_request_with_a_key(
    app, database_url, make_large, working, times
):
    body = {"action": "purge", "ids": [str(make_large().id)]}
    headers = {"Idempotency-Key": "once"}
    with behind_proxy(database_url) as (proxy, client):
        proxy.lose("COMMIT", Lost.AFTER, times=times)
        answer = client.post(f"{SESSIONS}bulk", json=body, headers=headers)
        assert answer.status_code == (200 if times == 1 else 503)
        assert ("Idempotency-Replayed" in answer.headers) is (times == 1)
        wait_for_deletions()
    with app.app_context():
        assert rows(db.session) == (0, 0)


def test_a_thread_that_cannot_start_fails_no_request(
    alice, make_large, working, monkeypatch, caplog
):
    chat = make_large()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as none_left:
        none_left.setattr(threading.Thread, "start", refuse)
        assert alice.delete(f"{session_url(chat)}?purge=true").status_code == 204
    assert "background thread not started" in caplog.text
    background_worker_of(alice.application).start()
    wait_for_deletions()
    with alice.application.app_context():
        assert rows(db.session) == (0, 0)


OBSTACLE = {
    "sqlite": [
        "CREATE TRIGGER obstacle BEFORE DELETE ON chat_messages"
        " BEGIN SELECT raise(ABORT, 'not now'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION obstacle() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RAISE ''not now''; END'",
        "CREATE TRIGGER obstacle BEFORE DELETE ON chat_messages"
        " FOR EACH ROW EXECUTE FUNCTION obstacle()",
    ],
}
AWAY = {
    "sqlite": ["DROP TRIGGER obstacle"],
    "postgresql": ["DROP FUNCTION obstacle CASCADE"],
}


def test_what_goes_wrong_is_logged_and_tried_again(
    alice, app, database_kind, make_large, working, caplog
):
    chat = make_large()
    with app.app_context():
        for statement in OBSTACLE[database_kind]:
            run_write(db.session.execute, text(statement))
        alice.delete(f"{session_url(chat)}?purge=true")
        wait_until(lambda: caplog.text.count("background work not finished") > 1)
        assert "not now" in caplog.text
        assert rows(db.session) == (1, MANY)
        for statement in AWAY[database_kind]:
            run_write(db.session.execute, text(statement))
        wait_for_deletions()
        assert rows(db.session) == (0, 0)


def test_a_server_that_starts_goes_on_with_it(
    app, make_session, database_url, tmp_path
):
    chat, kept = make_session(messages=10), make_session(messages=2)
    with app.app_context():
        delete(chat)
        run_write(deletions.delete_batch, chat.id, bounds=FEW)
        with LiveServer(tmp_path, database_url=database_url) as server:
            wait_until(lambda: rows(db.session) == (1, 2))
            answer = server.request("GET", f"{session_url(kept)}/messages")
            assert [each["seq"] for each in answer.json["messages"]] == [1, 2]
