import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import select

from chatstore.db import db, run_write
from chatstore.errors import DatabaseUnavailable, NotFound
from chatstore.models import ChatSession, Message
from chatstore.services import background
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.background_indexing import finish_indexing
from chatstore.services.forks import copied_fork
from chatstore.store.forks import CopyBounds, count_unfinished
from chatstore.store.messages import append_messages
from chatstore.store.sessions import delete_session
from chatstore.store.verify.checks import CHECKS
from tests.support import (
    assert_problem,
    count,
    on_postgresql,
    session_url,
    wait_for_deletions,
)
from tests.support.proxy import Lost, behind_proxy

MANY, SMALL = 30, CopyBounds(messages=4)
KEY = {"Idempotency-Key": "k1"}


@pytest.fixture(autouse=True)
def short_pauses(app):
    background.init_background(app, pause_seconds=0.01)


@pytest.fixture
def chat(app, make_session):
    return make_session(messages=MANY, name="Large")


@pytest.fixture
def large(app, make_session):
    """A session that a request copies in three transactions."""
    chat = make_session(name="Large")
    turns = [
        {"content": f"m{number}", "role": "user", "metadata": None}
        for number in range(2100)
    ]
    with app.app_context():
        run_write(append_messages, chat.id, owner_id=chat.owner_id, turns=turns)
        assert finish_indexing()
    return chat


def fork(chat):
    with copied_fork(chat.id, owner_id=chat.owner_id, bounds=SMALL) as finish:
        return run_write(finish)


def rows():
    db.session.remove()
    return count(db.session, ChatSession), count(db.session, Message)


def contents(session_id):
    query = select(Message.content).where(Message.session_id == session_id)
    return list(db.session.scalars(query.order_by(Message.seq)))


def violations():
    db.session.remove()
    return [line for check in CHECKS for line in check.find()]


def test_deletions_of_two_processes_leave_the_copy(app, make_app, chat):
    is_done = threading.Event()

    def delete_all(other):
        while not is_done.is_set():
            with other.app_context():
                finish_deletions()

    with app.app_context(), ThreadPoolExecutor(2) as threads:
        deleting = [threads.submit(delete_all, each) for each in (app, make_app())]
        try:
            forks = [fork(chat) for _ in range(3)]
        finally:
            is_done.set()
        assert all(each.result() is None for each in deleting)
        assert finish_indexing()
        for each in forks:
            assert contents(each.id) == [f"m{number + 1}" for number in range(MANY)]
        assert violations() == []


def test_a_block_that_fails_leaves_nothing(app, chat):
    with app.app_context():
        with (
            pytest.raises(ValueError),
            copied_fork(chat.id, owner_id=chat.owner_id, bounds=SMALL),
        ):
            assert count_unfinished() == 1
            raise ValueError
        wait_for_deletions()
        assert rows() == (1, MANY)
        assert violations() == []


def test_a_transaction_that_is_rolled_back_leaves_nothing(app, chat):
    def fail():
        finish()
        raise ValueError

    with app.app_context():
        with (
            pytest.raises(ValueError),
            copied_fork(chat.id, owner_id=chat.owner_id, bounds=SMALL) as finish,
        ):
            run_write(fail)
        wait_for_deletions()
        assert rows() == (1, MANY)


def test_a_session_that_is_deleted_during_the_copy_leaves_nothing(app, chat):
    with app.app_context():
        with (
            pytest.raises(NotFound),
            copied_fork(chat.id, owner_id=chat.owner_id, bounds=SMALL) as finish,
        ):
            run_write(delete_session, chat.id, owner_id=chat.owner_id)
            run_write(finish)
        wait_for_deletions()
        assert rows() == (0, 0)


def test_large_copies_take_a_quarter_of_the_threads(database_url, make_app, chat):
    app = make_app(threads=4, lock_timeout_seconds=1)
    with app.app_context():
        with copied_fork(chat.id, owner_id=chat.owner_id, bounds=SMALL):
            with pytest.raises(DatabaseUnavailable, match="Too many forks"):
                fork(chat)
            with copied_fork(chat.id, owner_id=chat.owner_id, at_seq=4) as finish:
                assert run_write(finish).last_seq == 4
        wait_for_deletions()


def test_a_request_copies_a_large_session(alice, app, large):
    answer = alice.post(f"{session_url(large)}/fork", json={}, headers=KEY)
    assert answer.status_code == 201
    again = alice.post(f"{session_url(large)}/fork", json={}, headers=KEY)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.data == answer.data
    wait_for_deletions()
    with app.app_context():
        assert rows() == (2, 4200)
        assert contents(UUID(answer.json["id"])) == contents(large.id)
        assert violations() == []


def test_requests_with_one_key_leave_one_fork(app, large):
    url = f"{session_url(large)}/fork"

    def post(_):
        return app.test_client().post(url, json={}, headers=KEY)

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(post, range(2)))
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].data == answers[1].data
    wait_for_deletions()
    with app.app_context():
        assert rows() == (2, 4200)
        assert violations() == []


@on_postgresql
@pytest.mark.parametrize("lost", [Lost.BEFORE, Lost.AFTER])
def test_a_connection_lost_between_batches_leaves_nothing(
    app, database_url, large, lost
):
    with behind_proxy(database_url) as (proxy, client):
        proxy.lose("COMMIT", lost, times=2)  # the first one ends the read
        answer = client.post(f"{session_url(large)}/fork", json={})
        wait_for_deletions()
    problem = assert_problem(answer, 503, detail="Nothing was created")
    assert problem["type"].endswith("database-unavailable")
    with app.app_context():
        assert rows() == (1, 2100)
