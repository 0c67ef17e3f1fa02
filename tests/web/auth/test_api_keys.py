from datetime import timedelta

import pytest

from chatstore import clock as clock_module
from chatstore.access.secret_tokens import API_KEY_PREFIX, _checksum, new_token
from chatstore.clock import utc_now
from chatstore.db import run_write
from chatstore.enums import Scope
from chatstore.store.keys import revoke_key
from tests.support import API, SESSIONS, assert_problem
from tests.support.access import bearer, issue_key, keyed_client


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


def test_a_key_reads_and_writes_for_its_owner(app):
    alice = keyed_client(app, "alice")
    assert alice.post(SESSIONS, json={"name": "x"}).status_code == 201
    me = alice.get(f"{API}/me").json
    assert (me["owner"], me["scopes"]) == ("alice", ["read", "write"])
    assert keyed_client(app, "bob").get(SESSIONS).json["sessions"] == []


def test_a_request_without_a_key_is_401(app):
    response = app.test_client().get(SESSIONS)
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="chatstore"'


def test_an_unknown_key_is_401(app):
    unknown, _ = new_token(API_KEY_PREFIX)
    response = app.test_client().get(SESSIONS, headers=bearer(unknown))
    assert_problem(response, 401)
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_a_key_with_another_secret_is_401_even_if_its_id_is_known(app):
    text = issue_key(app, "alice", Scope.READ)
    client = app.test_client()
    assert client.get(SESSIONS, headers=bearer(text)).status_code == 200
    response = client.get(SESSIONS, headers=bearer(with_another_secret(text)))
    assert_problem(response, 401)


def with_another_secret(text):
    body = text[:-7] + ("a" if text[-7] != "a" else "b")
    return body + _checksum(body)


def test_a_revoked_key_is_refused_within_a_second(app, monkeypatch):
    text = issue_key(app, "alice", Scope.READ)
    client = app.test_client()
    assert client.get(SESSIONS, headers=bearer(text)).status_code == 200
    with app.app_context():
        run_write(revoke_key, text[4:16])
    later = clock_module.monotonic_source() + 1
    monkeypatch.setattr(clock_module, "monotonic_source", lambda: later)
    assert_problem(client.get(SESSIONS, headers=bearer(text)), 401)


def test_a_key_that_expires_is_refused_at_once(app, clock):
    end = utc_now() + timedelta(seconds=30)
    text = issue_key(app, "alice", Scope.READ, expires_at=end)
    client = app.test_client()
    assert client.get(SESSIONS, headers=bearer(text)).status_code == 200
    clock.now = end
    assert_problem(client.get(SESSIONS, headers=bearer(text)), 401)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer a, Bearer b"]
    + ["Bearer \0", "Bearer é", f"Bearer {'a' * 9000}"],
)
def test_a_malformed_header_is_400(app, header):
    client = app.test_client()
    environ = {"HTTP_AUTHORIZATION": header}
    assert_problem(client.get(SESSIONS, environ_overrides=environ), 400)


def test_scope_read_cannot_write(app):
    reader = keyed_client(app, "alice", Scope.READ)
    assert reader.get(SESSIONS).status_code == 200
    assert_problem(reader.post(SESSIONS, json={}), 403)


def test_an_admin_acts_for_the_owner_in_the_header(app):
    keyed_client(app, "alice").post(SESSIONS, json={"name": "hers"})
    admin = keyed_client(app, "root", Scope.ADMIN)
    headers = {"X-Chatstore-Owner": "alice"}
    found = admin.get(SESSIONS, headers=headers).json["sessions"]
    assert [each["name"] for each in found] == ["hers"]
    assert admin.get(SESSIONS).json["sessions"] == []


def test_only_an_admin_acts_for_an_owner(app):
    headers = {"X-Chatstore-Owner": "alice"}
    assert_problem(keyed_client(app, "bob").get(SESSIONS, headers=headers), 403)


@pytest.mark.parametrize("owner", ["", "  ", "a\tb", "é", "a" * 256])
def test_an_owner_that_cannot_be_is_400(app, owner):
    admin = keyed_client(app, "root", Scope.ADMIN)
    environ = {"HTTP_X_CHATSTORE_OWNER": owner}
    assert_problem(admin.get(SESSIONS, environ_overrides=environ), 400)
