from datetime import timedelta

import pytest

from chatstore import clock as clock_module
from chatstore.access.key_uses import LoginUses
from chatstore.access.secret_tokens import LOGIN_PREFIX, new_token
from chatstore.app_state import get_from_app
from chatstore.db import run_write
from chatstore.enums import Scope
from chatstore.store.keys import revoke_key
from tests.support import API, MISSING_ID, SESSIONS, assert_problem, on_sqlite
from tests.support.access import bearer, issue_key
from tests.support.logins import OWN_PAGE, logged_in_client
from tests.support.statements import recorded_statements

pytestmark = on_sqlite


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key", cors_origins="https://ui.example")


def later(monkeypatch, seconds=1):
    now = clock_module.monotonic_source() + seconds
    monkeypatch.setattr(clock_module, "monotonic_source", lambda: now)


def test_a_cookie_reads_and_writes_for_its_owner(app):
    alice = logged_in_client(app, "alice")
    assert alice.post(SESSIONS, json={}, headers=OWN_PAGE).status_code == 201
    me = alice.get(f"{API}/me").json
    assert (me["owner"], me["scopes"]) == ("alice", ["read", "write"])
    bob = logged_in_client(app, "bob")
    assert bob.get(SESSIONS).json["sessions"] == []


def test_a_cookie_may_do_what_its_key_may(app):
    reader = logged_in_client(app, "alice", Scope.READ)
    assert_problem(reader.post(SESSIONS, json={}, headers=OWN_PAGE), 403)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "https://ui.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://ui.example"}, 403),
    ],
)
def test_a_change_by_cookie_needs_our_own_page(app, headers, status):
    alice = logged_in_client(app, "alice")
    response = alice.post(SESSIONS, json={}, headers=headers)
    assert response.status_code == status
    assert len(alice.get(SESSIONS).json["sessions"]) == (status == 201)


def test_the_header_authorization_counts_instead_of_the_cookie(app):
    client = logged_in_client(app, "alice")
    headers = bearer(issue_key(app, "bob", Scope.READ))
    response = client.get(f"{API}/me", headers=headers)
    assert response.json["owner"] == "bob"
    wrong = bearer(new_token("chs_")[0])
    assert_problem(client.get(SESSIONS, headers=wrong), 401)


def test_a_cookie_of_no_login_is_401(app):
    for cookie in ("", "x", "é", '"', "a" * 5000, new_token(LOGIN_PREFIX)[0]):
        headers = {"Cookie": f"chatstore={cookie}"}
        response = app.test_client().get(SESSIONS, headers=headers)
        assert_problem(response, 401)
        assert "WWW-Authenticate" in response.headers


def test_what_a_cookie_gets_is_not_stored(app):
    alice = logged_in_client(app, "alice")
    for path in (SESSIONS, f"{SESSIONS}{MISSING_ID}"):
        assert alice.get(path).headers["Cache-Control"] == "no-store"
    headers = bearer(issue_key(app, "alice", Scope.READ))
    response = app.test_client().get(SESSIONS, headers=headers)
    assert response.headers["Cache-Control"] == "private, no-cache"


def test_a_login_ends_within_a_second_after_its_key(app, monkeypatch):
    client, key = app.test_client(), issue_key(app, "alice", Scope.READ)
    client.post("/login", data={"key": key}, headers=OWN_PAGE)
    assert client.get(SESSIONS).status_code == 200
    with app.app_context():
        run_write(revoke_key, key[4:16])
    later(monkeypatch)
    assert_problem(client.get(SESSIONS), 401, detail="ended")


def test_a_request_by_cookie_costs_no_statement_and_no_write(app, clock, monkeypatch):
    alice = logged_in_client(app, "alice")
    alice.get(f"{API}/me")
    with app.app_context():
        with recorded_statements() as statements:
            assert alice.get(f"{API}/me").status_code == 200
        assert statements == []
        assert get_from_app(LoginUses).take() == {}
        clock.now += timedelta(minutes=1)
        later(monkeypatch)
        alice.get(f"{API}/me")
        assert len(get_from_app(LoginUses).take()) == 1
