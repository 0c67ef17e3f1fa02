from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from chatstore.db import db
from chatstore.models import ChatSession, IdempotencyRecord, Message
from tests.support import (
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    on_postgresql,
    session_url,
    wait_until,
)
from tests.support.proxy import Lost, behind_proxy

pytestmark = on_postgresql
HI = {"content": "hi"}
KEY = {"Idempotency-Key": "k1"}
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


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


def assert_unknown(response):
    problem = assert_problem(response, 503, detail="may or may not")
    assert problem["type"].endswith("outcome-unknown")


@pytest.mark.parametrize(("lost", "messages"), [(Lost.BEFORE, 0), (Lost.AFTER, 1)])
def test_a_commit_without_a_key_is_never_guessed_about(
    behind, make_session, stored, lost, messages
):
    proxy, client = behind
    url = messages_url(make_session())
    proxy.lose("COMMIT", lost)
    assert_unknown(client.post(url, json=HI))
    assert stored() == messages
    assert client.post(url, json=HI).status_code == 201


@pytest.mark.parametrize("lost", [Lost.BEFORE, Lost.AFTER])
@pytest.mark.parametrize(
    ("method", "place", "body"),
    [
        ("POST", "list", {"name": "n"}),
        ("PATCH", "session", {"name": "n"}),
        ("DELETE", "session", None),
        ("POST", "batch", {"messages": [HI, HI]}),
    ],
)
def test_nor_is_any_other_write(behind, make_session, method, place, body, lost):
    proxy, client = behind
    chat = make_session()
    urls = {"list": SESSIONS, "session": session_url(chat)}
    proxy.lose("COMMIT", lost)
    url = urls.get(place, f"{messages_url(chat)}/batch")
    assert_unknown(client.open(url, method=method, json=body))
    assert proxy.cuts == 1


@pytest.mark.parametrize("lost", [Lost.BEFORE, Lost.AFTER])
@pytest.mark.parametrize("times", [1, 3])
def test_a_commit_with_a_key_is_made_once(behind, make_session, stored, lost, times):
    proxy, client = behind
    url = messages_url(make_session())
    proxy.lose("COMMIT", lost, times=times)
    first = client.post(url, json=HI, headers=KEY)
    assert (first.status_code, first.json["seq"]) == (201, 1)
    assert ("Idempotency-Replayed" in first.headers) is (lost is Lost.AFTER)
    assert client.post(url, json=HI, headers=KEY).data == first.data
    assert (stored(), stored(IdempotencyRecord), proxy.cuts) == (1, 1, times)


@pytest.mark.parametrize(
    ("place", "body", "model", "rows"),
    [("list", {}, ChatSession, 2), ("batch", {"messages": [HI, HI]}, Message, 2)],
)
def test_so_is_every_other_post(behind, make_session, stored, place, body, model, rows):
    proxy, client = behind
    url = SESSIONS if place == "list" else f"{messages_url(make_session())}/batch"
    if place == "list":
        make_session()
    proxy.lose("COMMIT", Lost.AFTER)
    first = client.post(url, json=body, headers=KEY)
    assert first.status_code == 201
    assert client.post(url, json=body, headers=KEY).data == first.data
    assert stored(model) == rows


@pytest.mark.parametrize(("lost", "messages"), [(Lost.BEFORE, 0), (Lost.AFTER, 1)])
def test_a_key_whose_commits_are_all_lost_can_be_sent_again(
    behind, make_session, stored, lost, messages
):
    proxy, client = behind
    url = messages_url(make_session())
    proxy.lose("COMMIT", lost, times=4)
    assert_unknown(client.post(url, json=HI, headers=KEY))
    assert stored() == messages
    assert client.post(url, json=HI, headers=KEY).status_code == 201
    assert stored() == 1


def test_a_commit_that_arrives_late_is_waited_for(
    behind, database_url, make_session, stored
):
    proxy, client = behind
    url = messages_url(make_session())
    proxy.lose("COMMIT", Lost.ON_THE_WAY)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as watcher:
        watcher.autocommit = True
        append = pool.submit(client.post, url, json=HI, headers=KEY)
        wait_until(lambda: watcher.execute(WAITING).fetchone() == (1,))
        assert (stored(), append.done()) == (0, False)
        proxy.let_through()
        first = append.result(20)
    assert (first.status_code, first.json["seq"]) == (201, 1)
    assert client.post(url, json=HI, headers=KEY).data == first.data
    assert stored() == 1


def test_a_commit_that_arrives_late_is_why_nobody_can_say(behind, make_session, stored):
    proxy, client = behind
    url = messages_url(make_session())
    proxy.lose("COMMIT", Lost.ON_THE_WAY)
    assert_unknown(client.post(url, json=HI))
    assert stored() == 0
    proxy.let_through()
    wait_until(lambda: stored() == 1)
