from datetime import timedelta

import pytest
from sqlalchemy import select

from chatstore.clock import format_instant, utc_now
from chatstore.db import db
from chatstore.models import AuditEntry, IdempotencyRecord
from tests.support import (
    ANY_ID,
    API,
    MISSING_ID,
    assert_problem,
    count,
    session_url,
)
from tests.support.access import keyed_client


def shares_url(chat):
    return f"{session_url(chat)}/shares"


def test_a_link_is_created_and_its_token_shown_once(alice, make_session, clock):
    chat = make_session()
    response = alice.post(shares_url(chat), json={})
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "private, no-store"
    share = response.json
    token = share.pop("token")
    assert share.pop("url") == f"{API}/shared/{token}"
    assert share == {
        "id": token[4:16],
        "live": False,
        "created_at": ANY_ID,
        "expires_at": None,
        "revoked_at": None,
        "reads": 0,
        "last_read_at": None,
    }
    listed = alice.get(shares_url(chat))
    assert listed.json == {"shares": [share]}
    assert token not in listed.text


def test_a_link_may_be_live_and_end(alice, make_session, clock):
    url, end = shares_url(make_session()), format_instant(utc_now() + timedelta(days=1))
    share = alice.post(url, json={"live": True, "expires_at": end}).json
    assert (share["live"], share["expires_at"]) == (True, end)
    clock.now = now = utc_now()
    share = alice.post(url, json={"expires_in_seconds": 60}).json
    assert share["expires_at"] >= format_instant(now + timedelta(seconds=60))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"live": 1}, "/live"),
        ({"live": None}, "/live"),
        ({"expires_in_seconds": 0}, "/expires_in_seconds"),
        ({"expires_in_seconds": 10**9}, "/expires_in_seconds"),
        ({"expires_in_seconds": "1"}, "/expires_in_seconds"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        (
            {"expires_at": "2099-01-01T00:00:00Z", "expires_in_seconds": 9},
            "/expires_at",
        ),
        ({"token": "mine"}, "/token"),
    ],
)
def test_a_wrong_body_is_refused(alice, make_session, body, pointer):
    chat = make_session()
    assert_problem(alice.post(shares_url(chat), json=body), 422, pointer=pointer)
    assert alice.get(shares_url(chat)).json["shares"] == []


def test_a_key_is_refused_so_that_no_record_has_the_token(alice, app, make_session):
    chat, headers = make_session(), {"Idempotency-Key": "once"}
    response = alice.post(shares_url(chat), json={}, headers=headers)
    assert_problem(response, 422, pointer="")
    with app.app_context():
        assert count(db.session, IdempotencyRecord) == 0
    assert alice.get(shares_url(chat)).json["shares"] == []


def test_a_link_is_revoked_once_and_again(alice, make_session):
    chat = make_session()
    share = alice.post(shares_url(chat), json={}).json
    for _ in range(2):
        response = alice.delete(f"{shares_url(chat)}/{share['id']}")
        assert (response.status_code, response.data) == (204, b"")
    (listed,) = alice.get(shares_url(chat)).json["shares"]
    assert listed["revoked_at"] is not None
    assert_problem(alice.get(share["url"]), 404)


def test_creating_and_revoking_leave_one_entry_each(alice, app, make_session):
    chat = make_session()
    share = alice.post(shares_url(chat), json={}).json
    for _ in range(2):
        alice.delete(f"{shares_url(chat)}/{share['id']}")
    alice.post(shares_url({"id": MISSING_ID}), json={})
    with app.app_context():
        entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        found = [(each.action, each.target, each.owner_id) for each in entries]
    assert found == [
        (action, share["id"], "local") for action in ("share.created", "share.revoked")
    ]


def test_links_of_others_are_missing(make_app):
    app = make_app(auth="api-key")
    alice, bob = keyed_client(app, "alice"), keyed_client(app, "bob")
    chat = alice.post(f"{API}/sessions/", json={}).json
    share = alice.post(shares_url(chat), json={}).json
    for method, path in (("POST", ""), ("GET", ""), ("DELETE", f"/{share['id']}")):
        details = set()
        for session_id in (chat["id"], MISSING_ID):
            url = shares_url({"id": session_id}) + path
            body = {} if method == "POST" else None
            problem = assert_problem(bob.open(url, method=method, json=body), 404)
            details.add(problem["detail"].replace(session_id, "…"))
            assert_problem(app.test_client().open(url, method=method), 401)
        assert len(details) == 1
    assert alice.get(shares_url(chat)).json["shares"][0]["revoked_at"] is None


def test_a_session_has_a_bounded_number_of_links(make_app):
    client = make_app(max_shares=1).test_client()
    chat = client.post(f"{API}/sessions/", json={}).json
    share = client.post(shares_url(chat), json={}).json
    assert_problem(client.post(shares_url(chat), json={}), 409, detail="MAX_SHARES")
    client.delete(f"{shares_url(chat)}/{share['id']}")
    assert client.post(shares_url(chat), json={}).status_code == 201


@pytest.mark.parametrize("share_id", ["x", "a" * 13, "aaaaaaaaaaa%00", "ааааааааааaa"])
def test_a_malformed_id_is_missing(alice, make_session, share_id):
    url = f"{shares_url(make_session())}/{share_id}"
    assert_problem(alice.delete(url), 404)


def test_sharing_can_be_turned_off(make_app):
    on = make_app().test_client()
    chat = on.post(f"{API}/sessions/", json={}).json
    share = on.post(shares_url(chat), json={}).json
    off = make_app(sharing=0).test_client()
    for answer in (
        off.post(shares_url(chat), json={}),
        off.get(shares_url(chat)),
        off.delete(f"{shares_url(chat)}/{share['id']}"),
        off.get(share["url"]),
    ):
        assert_problem(answer, 404, detail="CHATSTORE_SHARING")
    assert on.get(share["url"]).status_code == 200
