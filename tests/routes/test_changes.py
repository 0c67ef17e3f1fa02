from datetime import timedelta

import pytest

from tests.support import (
    API,
    SESSIONS,
    assert_problem,
    messages_url,
    session_url,
    wait_for_transactions,
)

URL = f"{API}/changes"


@pytest.fixture
def ask(app, alice):
    """Ask for the changes since a token, with other parameters of the query."""

    def ask(since=None, **query):
        if since is not None:
            query["since"] = since
        with app.app_context():
            wait_for_transactions()
        response = alice.get(URL, query_string=query)
        assert response.status_code == 200, response.text
        return response.json

    return ask


def test_the_first_token_has_no_changes(alice, make_session):
    make_session()
    response = alice.get(URL)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    token = response.json["next"]
    assert response.json == {"changes": [], "next": token, "has_more": False}


def test_each_kind_of_change_is_told(alice, ask, make_session):
    gone, chat = make_session(), make_session(messages=2)
    token = ask()["next"]
    alice.delete(session_url(gone))
    alice.patch(session_url(chat), json={"name": "Renamed"})
    message = alice.get(messages_url(chat)).json["messages"][1]
    url = f"{messages_url(chat)}/{message['id']}"
    assert alice.patch(url, json={"content": "Better"}).status_code == 200
    new = alice.post(SESSIONS, json={}).json
    page = ask(token)
    revision = alice.get(session_url(chat)).headers["ETag"].strip('"')
    assert page["has_more"] is False
    assert {each["kind"] for each in page["changes"]} == {"session", "message"}
    assert sorted(page["changes"], key=str) == sorted(
        [
            {"kind": "session", "session_id": str(gone.id), "deleted": True},
            {
                "kind": "session",
                "session_id": str(chat.id),
                "revision": int(revision),
                "last_seq": 2,
                "head_seq": 2,
            },
            {
                "kind": "message",
                "session_id": str(chat.id),
                "seq": 2,
                "revision": 2,
            },
            {
                "kind": "session",
                "session_id": new["id"],
                "revision": 1,
                "last_seq": 0,
                "head_seq": None,
                "is_new": True,
            },
        ],
        key=str,
    )
    assert ask(page["next"])["changes"] == []
    # A token may be used more than once.
    assert ask(token)["changes"] == page["changes"]


def test_pages_have_100_changes_unless_the_client_says_how_many(alice, ask):
    token = ask()["next"]
    for _ in range(101):
        alice.post(SESSIONS, json={})
    page = ask(token)
    assert (len(page["changes"]), page["has_more"]) == (100, True)
    page = ask(page["next"], limit=1)
    assert (len(page["changes"]), page["has_more"]) == (1, False)
    assert len(ask(token, limit=1000)["changes"]) == 101


@pytest.mark.parametrize("wait", ["0", "0.5", "30", "1e1"])
def test_changes_are_told_without_a_wait(alice, ask, wait):
    token = ask()["next"]
    alice.post(SESSIONS, json={})
    assert len(ask(token, wait=wait)["changes"]) == 1


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": 0}, "/limit"),
        ({"limit": 1001}, "/limit"),
        ({"limit": "all"}, "/limit"),
        ({"wait": -1}, "/wait"),
        ({"wait": 30.1}, "/wait"),
        ({"wait": "nan"}, "/wait"),
        ({"wait": "1_0"}, "/wait"),
        ({"wait": ""}, "/wait"),
        ({"until": 1}, "/until"),
    ],
)
def test_a_wrong_query_is_refused(alice, query, pointer):
    assert_problem(alice.get(URL, query_string=query), 422, pointer=pointer)


def test_a_token_that_we_did_not_make_is_refused(alice, ask):
    token = ask()["next"]
    cursor = alice.get(SESSIONS, query_string={"limit": 1}).json["next_cursor"]
    for wrong in ("", "x", token[:-1], f"{token}x", cursor or "x.y"):
        response = alice.get(URL, query_string={"since": wrong})
        assert_problem(response, 400, detail="token")


def test_a_cursor_of_a_list_is_no_token(alice, make_session):
    make_session(), make_session()
    cursor = alice.get(SESSIONS, query_string={"limit": 1}).json["next_cursor"]
    assert cursor
    assert_problem(alice.get(URL, query_string={"since": cursor}), 400, detail="token")


@pytest.mark.parametrize("days", [1, 30])
def test_an_old_token_is_gone(make_app, clock, days):
    client = make_app(tombstone_days=days).test_client()
    token = client.get(URL).json["next"]
    clock.now += timedelta(days=days, minutes=-1)
    assert client.get(URL, query_string={"since": token}).status_code == 200
    clock.now += timedelta(minutes=2)
    problem = assert_problem(
        client.get(URL, query_string={"since": token}), 410, detail="Read everything"
    )
    assert problem["type"] == "urn:chatstore:problem:token-expired"
