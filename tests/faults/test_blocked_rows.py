"""A locked row delays only the requests that need it, on PostgreSQL."""

import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import psycopg
import pytest

from chatstore.db import database_state, db
from chatstore.settings import Settings
from tests.support import SESSIONS, messages_url, on_postgresql, session_url, wait_until

pytestmark = on_postgresql
HI = {"content": "hi"}
WRITERS = 12


@contextmanager
def locked(database_url, *chats):
    """Hold row locks on these sessions from another connection."""
    with psycopg.connect(database_url.replace("+psycopg", "")) as holder:
        ids = [chat.id for chat in chats]
        holder.execute("SELECT FROM sessions WHERE id = ANY(%s) FOR UPDATE", [ids])
        yield
        holder.rollback()


def connections_in_use(app):
    with app.app_context():
        return db.engine.pool.checkedout()


@pytest.mark.parametrize("pooler", ["none", "pgbouncer"])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_writers_of_a_locked_session_leave_connections_for_the_others(
    make_app, make_session, database_url, pooler, headers
):
    app = make_app(threads=8, database_pooler=pooler)
    blocked, other = make_session(), make_session(messages=1)

    def write(number):
        key = {name: f"{key}{number}" for name, key in headers.items()}
        client, url = app.test_client(), messages_url(blocked)
        return client.post(url, json=HI, headers=key).status_code

    def rename(number):
        body = {"name": f"n{number}"}
        return app.test_client().patch(session_url(blocked), json=body).status_code

    with ThreadPoolExecutor(2 * WRITERS) as pool:
        with locked(database_url, blocked):
            writing = [pool.submit(write, number) for number in range(WRITERS)]
            writing += [pool.submit(rename, number) for number in range(WRITERS)]
            turns = database_state(app).session_turns
            wait_until(lambda: turns.count_waiting(blocked.id) == 2 * WRITERS - 2)
            client = app.test_client()
            for _ in range(20):
                assert client.post(messages_url(other), json=HI).status_code == 201
                assert client.get(messages_url(other)).status_code == 200
                assert connections_in_use(app) <= 2
            assert not wait(writing, timeout=0).done
        statuses = [each.result() for each in writing]
    assert sorted(statuses) == [200] * WRITERS + [201] * WRITERS
    messages = app.test_client().get(messages_url(blocked)).json["messages"]
    assert [each["seq"] for each in messages] == list(range(1, WRITERS + 1))


def test_many_locked_sessions_share_a_few_connections(
    make_app, make_session, database_url
):
    app = make_app(threads=8)
    chats, other = [make_session() for _ in range(WRITERS)], make_session()

    def write(chat):
        return app.test_client().post(messages_url(chat), json=HI).status_code

    with ThreadPoolExecutor(WRITERS) as pool:
        with locked(database_url, *chats):
            writing = [pool.submit(write, chat) for chat in chats]
            blocked = database_state(app).blocked_turns
            # Each has waited once; from now on only two at a time hold a connection.
            wait_until(lambda: blocked.count_waiting("connections") == WRITERS - 2)
            for _ in range(20):
                assert connections_in_use(app) <= 2
                assert write(other) == 201
            assert not wait(writing, timeout=0).done
        assert [each.result() for each in writing] == [201] * WRITERS


def test_changes_of_many_sessions_give_way_too(make_app, make_session, database_url):
    app, chat = make_app(threads=8), make_session()
    body = {"action": "pin", "ids": [str(chat.id)]}

    def pin(_):
        return app.test_client().post(f"{SESSIONS}bulk", json=body).status_code

    with ThreadPoolExecutor(WRITERS) as pool:
        with locked(database_url, chat):
            changing = [pool.submit(pin, number) for number in range(WRITERS)]
            blocked = database_state(app).blocked_turns
            wait_until(lambda: blocked.count_waiting("connections") == WRITERS - 2)
            assert connections_in_use(app) <= 2
        assert [each.result() for each in changing] == [200] * WRITERS


def test_the_wait_for_a_row_ends_by_the_deadline(make_app, make_session, database_url):
    client, chat = make_app(lock_timeout_seconds=2).test_client(), make_session()
    with locked(database_url, chat):
        started = time.monotonic()
        answer = client.post(messages_url(chat), json=HI)
        seconds = time.monotonic() - started
    # The setting applies, not its default.
    assert 2 <= seconds < Settings().lock_timeout_seconds
    assert answer.status_code == 503
    assert "CHATSTORE_LOCK_TIMEOUT_SECONDS" in answer.json["detail"]
