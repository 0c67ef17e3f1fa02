from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest
from sqlalchemy.engine import make_url

from chatstore.db import db
from chatstore.models import Message
from chatstore.web.auth import LOCAL_OWNER
from tests.support import (
    SESSIONS,
    count,
    messages_url,
    on_postgresql,
    session_url,
    wait_until,
)
from tests.support.proxy import Lost, behind_proxy
from tests.support.workers import run_workers

pytestmark = on_postgresql
CLIENTS = 8
HI = {"content": "hi"}
KEY = {"Idempotency-Key": "k1"}
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def database_url(database_url, postgres):
    """The URL of a database whose default isolation level is serializable."""
    name = make_url(database_url).database
    isolation = "SET default_transaction_isolation = serializable"
    postgres.execute(f"ALTER DATABASE {name} {isolation}")
    return database_url


@pytest.fixture
def retried(caplog):
    def causes():
        lines = [each.msg for each in caplog.records if isinstance(each.msg, dict)]
        return [x["cause"] for x in lines if x["event"] == "transaction retried"]

    return causes


@pytest.fixture
def at_once(app):
    """Run `work(client, number)` for eight clients concurrently; return the results."""

    def run(work):
        with ThreadPoolExecutor(CLIENTS) as pool:
            numbers = range(CLIENTS)
            return list(pool.map(lambda n: work(app.test_client(), n), numbers))

    return run


def statuses(answers):
    return Counter(answer.status_code for answer in answers)


def test_the_database_is_serializable(app):
    with app.app_context():
        level = db.session.connection().exec_driver_sql("SHOW transaction_isolation")
        assert level.scalar() == "serializable"


@pytest.mark.parametrize("is_keyed", [False, True])
def test_no_append_to_one_session_is_refused(
    at_once, alice, make_session, retried, is_keyed
):
    url = messages_url(make_session())

    def append(client, number):
        keys = [{"Idempotency-Key": f"{number}-{each}"} for each in range(10)]
        return [
            client.post(url, json=HI, headers=key if is_keyed else {}) for key in keys
        ]

    answers = sum(at_once(append), start=[])
    assert statuses(answers) == {201: 80}
    assert [each["seq"] for each in alice.get(url).json["messages"]] == [*range(1, 81)]
    assert any("could not serialize" in cause for cause in retried())


def test_no_append_of_many_processes_is_refused(alice, make_session, database_url):
    chat = make_session()
    run_workers(4, "append", database_url, chat.id, LOCAL_OWNER, 5, 10)
    listed = alice.get(messages_url(chat)).json["messages"]
    assert [each["seq"] for each in listed] == [*range(1, 201)]


def test_no_work_on_several_sessions_is_refused(at_once, alice, make_session):
    chats = [make_session(messages=2) for _ in range(CLIENTS)]

    def work(client, number):
        chat, other = chats[number], chats[number - 1]
        made = client.post(SESSIONS, json={"name": "n"}).json
        return [
            client.post(messages_url(chat), json=HI),
            client.get(SESSIONS),
            client.post(f"{messages_url(other)}/batch", json={"messages": [HI, HI]}),
            client.get(messages_url(other)),
            client.patch(session_url(chat), json={"name": str(number)}),
            client.delete(session_url(made)),
        ]

    answers = sum((at_once(work) + at_once(work)), start=[])
    assert statuses(answers) == {201: 32, 200: 48, 204: 16}
    for chat in chats:
        listed = alice.get(messages_url(chat)).json["messages"]
        assert [each["seq"] for each in listed] == [*range(1, 9)]


def test_one_key_of_eight_clients_makes_one_message(app, at_once, make_session):
    url = messages_url(make_session())
    answers = at_once(lambda client, _: client.post(url, json=HI, headers=KEY))
    assert statuses(answers) == {201: CLIENTS}
    assert len({answer.data for answer in answers}) == 1
    with app.app_context():
        assert count(db.session, Message) == 1


def test_one_seq_is_given_once(at_once, make_session):
    url = messages_url(make_session())
    body = HI | {"expected_seq": 1}
    answers = at_once(lambda client, _: client.post(url, json=body))
    assert statuses(answers) == {201: 1, 409: CLIENTS - 1}


@pytest.mark.parametrize("lost", Lost)
def test_a_commit_in_doubt_is_made_once(app, database_url, make_session, lost):
    url = messages_url(make_session())
    with (
        behind_proxy(database_url) as (proxy, client),
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(database_url, autocommit=True) as watcher,
    ):
        proxy.lose("COMMIT", lost)
        append = pool.submit(partial(client.post, url, json=HI, headers=KEY))
        if lost is Lost.ON_THE_WAY:
            wait_until(lambda: watcher.execute(WAITING).fetchone() == (1,))
            proxy.let_through()
        assert append.result(20).status_code == 201
        assert client.post(url, json=HI, headers=KEY).data == append.result().data
    with app.app_context():
        assert count(db.session, Message) == 1
