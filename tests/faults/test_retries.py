import contextlib
import fcntl
import json
import time
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg
import pytest

from chatstore.db import db, sqlite
from chatstore.models import IdempotencyRecord, Message
from chatstore.settings import Settings
from chatstore.store.messages import CHUNK_MESSAGES
from tests.support import (
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    on_postgresql,
    on_sqlite,
    session_url,
    wait_until,
)
from tests.support.proxy import Lost, behind_proxy

HI = {"content": "hi"}
KEY = {"Idempotency-Key": "k1"}
CLAIM = "INSERT INTO idempotency_records"


@pytest.fixture
def behind(database_url):
    """A proxy to the database, and a client of an application that uses it."""
    with behind_proxy(database_url) as pair:
        yield pair


@pytest.fixture
def stored(app):
    def count_rows(model=Message):
        with app.app_context():
            return count(db.session, model)

    return count_rows


@pytest.fixture
def retried(caplog):
    def causes(event="transaction retried"):
        lines = [each.msg for each in caplog.records if isinstance(each.msg, dict)]
        return [line["cause"] for line in lines if line["event"] == event]

    return causes


@on_postgresql
@pytest.mark.parametrize("lost", [Lost.BEFORE, Lost.AFTER])
@pytest.mark.parametrize(
    "statement", ["BEGIN", "UPDATE sessions", "INSERT INTO chat_messages"]
)
def test_a_connection_lost_before_the_commit_goes_unnoticed(
    behind, make_session, stored, retried, statement, lost
):
    proxy, client = behind
    chat = make_session()
    client.get(session_url(chat))  # connects, so that the append begins with BEGIN
    proxy.lose(statement, lost)
    response = client.post(messages_url(chat), json=HI)
    assert (response.status_code, response.json["seq"]) == (201, 1)
    assert (stored(), proxy.cuts, len(retried())) == (1, 1, 1)


@on_postgresql
@pytest.mark.parametrize("lost", [Lost.BEFORE, Lost.AFTER])
@pytest.mark.parametrize(
    "statement", [CLAIM, "UPDATE sessions", "UPDATE idempotency_records"]
)
def test_with_a_key_too(behind, make_session, stored, retried, statement, lost):
    proxy, client = behind
    url = messages_url(make_session())
    proxy.lose(statement, lost)
    first = client.post(url, json=HI, headers=KEY)
    assert first.status_code == 201
    assert "Idempotency-Replayed" not in first.headers
    assert client.post(url, json=HI, headers=KEY).data == first.data
    assert (stored(), stored(IdempotencyRecord)) == (1, 1)
    assert (proxy.cuts, len(retried())) == (1, 1)


@on_postgresql
@pytest.mark.parametrize(
    ("statement", "method", "place", "body", "status"),
    [
        ("INSERT INTO sessions", "POST", "list", {"name": "n"}, 201),
        ("UPDATE sessions", "PATCH", "session", {"name": "n"}, 200),
        ("DELETE FROM sessions", "DELETE", "purge", None, 204),
        ("UPDATE sessions", "DELETE", "session", None, 204),
        ("chat_messages", "POST", "batch", {"messages": [HI, HI]}, 201),
    ],
)
def test_every_kind_of_write_is_run_again(
    behind, make_session, retried, statement, method, place, body, status
):
    proxy, client = behind
    chat = make_session()
    urls = {"list": SESSIONS, "session": session_url(chat)}
    urls["purge"] = f"{session_url(chat)}?purge=true"
    url = urls.get(place, f"{messages_url(chat)}/batch")
    proxy.lose(statement, Lost.AFTER)
    assert client.open(url, method=method, json=body).status_code == status
    assert (proxy.cuts, len(retried())) == (1, 1)


@on_postgresql
@pytest.mark.parametrize("lost", [Lost.BEFORE, Lost.AFTER])
@pytest.mark.parametrize(
    ("place", "statement"),
    [
        ("sessions", "FROM sessions"),
        ("session", "FROM sessions"),
        ("messages", "FROM chat_messages"),
        ("message", "FROM chat_messages"),
    ],
)
def test_every_kind_of_read_is_run_again(
    behind, make_session, retried, place, statement, lost
):
    proxy, client = behind
    chat = make_session(messages=1)
    messages = messages_url(chat)
    first = client.get(messages).json["messages"][0]
    urls = {"sessions": SESSIONS, "session": session_url(chat), "messages": messages}
    url = urls.get(place, f"{messages}/{first['id']}")
    whole = client.get(url).data
    proxy.lose(statement, lost)
    response = client.get(url)
    assert (response.status_code, response.data) == (200, whole)
    assert (proxy.cuts, len(retried("read retried"))) == (1, 1)


@on_postgresql
def test_a_listing_goes_on_where_its_connection_was_lost(behind, make_session, retried):
    proxy, client = behind
    chat = make_session()
    turns = [{"content": str(number)} for number in range(CHUNK_MESSAGES + 1)]
    for part in (turns[:CHUNK_MESSAGES], turns[CHUNK_MESSAGES:]):
        client.post(f"{messages_url(chat)}/batch", json={"messages": part})
    parts = client.get(messages_url(chat)).iter_encoded()
    received = [next(parts)]
    proxy.lose("FROM chat_messages", Lost.BEFORE)
    received += parts
    listed = json.loads(b"".join(received))["messages"]
    assert [each["content"] for each in listed] == [each["content"] for each in turns]
    assert (proxy.cuts, len(retried("read retried"))) == (1, 1)


@on_postgresql
def test_a_read_whose_connection_is_lost_once_more_is_a_503(
    behind, make_session, retried
):
    proxy, client = behind
    url = session_url(make_session())
    proxy.lose("FROM sessions", Lost.BEFORE, times=4)
    assert_problem(client.get(url), 503)
    assert len(retried("read retried")) == 3
    assert client.get(url).status_code == 200


@on_postgresql
def test_a_connection_lost_three_times_goes_unnoticed(
    behind, make_session, stored, retried
):
    proxy, client = behind
    proxy.lose("UPDATE sessions", Lost.AFTER, times=3)
    response = client.post(messages_url(make_session()), json=HI)
    assert response.status_code == 201
    assert (stored(), len(retried())) == (1, 3)


@on_postgresql
@pytest.mark.parametrize("headers", [{}, KEY])
def test_a_connection_lost_once_more_is_a_503(
    behind, make_session, stored, retried, headers
):
    proxy, client = behind
    url = messages_url(make_session())
    proxy.lose("UPDATE sessions", Lost.AFTER, times=4)
    problem = assert_problem(client.post(url, json=HI, headers=headers), 503)
    assert problem["type"].endswith("database-unavailable")
    assert (stored(), stored(IdempotencyRecord), len(retried())) == (0, 0, 3)
    assert client.post(url, json=HI, headers=headers).status_code == 201


@on_postgresql
def test_a_deadlock_is_run_again(
    alice, database_url, make_session, stored, retried, postgres
):
    url = messages_url(make_session())
    claim = f"{CLAIM} VALUES ('local', 'k1', 'x', 'x', 201, '', '{{}}', now())"
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    plain_url = database_url.replace("+psycopg", "")
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(plain_url) as other,
        psycopg.connect(plain_url, autocommit=True) as watcher,
    ):
        other.execute("SET deadlock_timeout = '60s'")  # so PostgreSQL aborts the append
        other.execute("UPDATE sessions SET pinned = pinned")
        append = pool.submit(alice.post, url, json=HI, headers=KEY)
        wait_until(lambda: watcher.execute(waiting).fetchone() == (1,))
        other.execute(claim)  # the append holds the key and waits for the session
        other.rollback()
        assert append.result(20).status_code == 201
    assert stored() == 1
    causes = retried()  # more than one, if the other is slow to give way
    assert causes and all("deadlock detected" in cause for cause in causes)


@on_postgresql
def test_one_that_is_run_again_and_waits_holds_up_nobody_else(
    alice, app, database_url, make_session, retried
):
    chat, other = make_session(), make_session()
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted"
    lock = "SELECT FROM sessions WHERE id = %s FOR UPDATE"
    plain_url = database_url.replace("+psycopg", "")
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(plain_url) as holder,
        psycopg.connect(plain_url, autocommit=True) as watcher,
    ):
        holder.execute(lock, [chat.id])
        append = pool.submit(app.test_client().post, messages_url(chat), json=HI)
        wait_until(lambda: watcher.execute(waiting).fetchone())
        watcher.execute(f"SELECT pg_terminate_backend(pid) FROM ({waiting})")
        wait_until(lambda: retried() and watcher.execute(waiting).fetchone())
        for _ in range(5):
            assert alice.post(messages_url(other), json=HI).status_code == 201
        assert not append.done(), "they waited for the other one"
        holder.rollback()
        assert append.result(20).status_code == 201


@contextlib.contextmanager
def intruder(database_url):
    """Yield a connection with an open write transaction that skips the writer lock."""
    path = database_url.removeprefix("sqlite:///")
    # Two SQLite libraries in one process ignore each other's locks, so use chatstore's.
    connect = sqlite.driver().connect
    with contextlib.closing(connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


@on_sqlite
def test_a_writer_waits_for_one_that_does_not_queue(make_session, alice, database_url):
    url = messages_url(make_session())
    with intruder(database_url) as writer, ThreadPoolExecutor(1) as pool:
        append = pool.submit(alice.post, url, json=HI)
        assert not wait([append], timeout=0.3).done
        writer.rollback()
        assert append.result(20).status_code == 201


@on_sqlite
def test_a_writer_that_does_not_end_is_a_503(
    make_app, make_session, database_url, stored
):
    client = make_app(lock_timeout_seconds=1).test_client()
    url = messages_url(make_session())
    with intruder(database_url):
        started = time.monotonic()
        assert_problem(client.post(url, json=HI), 503)
        # The setting applies, not its default.
        assert time.monotonic() - started < Settings().lock_timeout_seconds
        assert stored() == 0
    assert client.post(url, json=HI).status_code == 201


@on_sqlite
def test_a_process_that_keeps_the_lock_file_is_a_503(
    make_app, make_session, database_url
):
    client = make_app(lock_timeout_seconds=1).test_client()
    url = messages_url(make_session())
    path = database_url.removeprefix("sqlite:///")
    with ThreadPoolExecutor(1) as pool, open(f"{path}-writer", "rb") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        append = pool.submit(client.post, url, json=HI)
        done = wait([append], timeout=3).done
        fcntl.flock(lock_file, fcntl.LOCK_UN)
        assert done, "it waits longer than the lock timeout"
        assert_problem(append.result(20), 503)
