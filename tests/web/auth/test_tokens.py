"""Tokens of both kinds of keys, in requests; tests/access has the rules."""

import pytest

from chatstore.access.secret_tokens import API_KEY_PREFIX, new_token
from chatstore.enums import Scope
from chatstore.errors import SettingsError
from tests.support import API, SESSIONS, assert_problem, on_sqlite, session_url
from tests.support.access import audited_actors, bearer, issue_key
from tests.support.tokens import SECRET, ec_key, issuer, jwk, key_set, rsa_key, sign

# No query differs between the databases.
pytestmark = on_sqlite


@pytest.fixture
def client(make_app):
    return make_app(auth="jwt", jwt_secret=SECRET).test_client()


def test_a_token_reads_and_writes_for_its_owner(client):
    alice, bob = bearer(sign()), bearer(sign({"sub": "bob"}))
    assert client.post(SESSIONS, json={"name": "x"}, headers=alice).status_code == 201
    me = client.get(f"{API}/me", headers=alice).json
    assert (me["owner"], me["scopes"]) == ("alice", ["read", "write"])
    assert client.get(SESSIONS, headers=bob).json["sessions"] == []


def test_no_owner_can_pass_for_another_actor_in_the_audit_log(client):
    headers = bearer(sign({"sub": "command line"}))
    chat = client.post(SESSIONS, json={}, headers=headers).json
    client.post(f"{session_url(chat)}/shares", json={}, headers=headers)
    assert audited_actors(client.application) == ["token command line"]


@pytest.mark.parametrize(
    "text",
    [
        sign(key="another secret of 32 bytes or more"),
        sign({"exp": 1}),
        sign({"sub": ""}),
        # No key set is configured.
        sign(key=rsa_key(), algorithm="RS256"),
        new_token(API_KEY_PREFIX)[0],
        "x",
        "e30.e30.e30",
        "....",
    ],
    ids=range(8),
)
def test_a_token_that_proves_nothing_is_401(client, text):
    response = client.get(SESSIONS, headers=bearer(text))
    assert_problem(response, 401)
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_without_a_token_is_401(client):
    assert_problem(client.get(SESSIONS), 401)


def test_a_scope_claim_bounds_what_a_token_may_do(make_app):
    client = make_app(
        auth="jwt", jwt_secret=SECRET, jwt_scope_claim="scope"
    ).test_client()
    reader, nobody = bearer(sign({"scope": "read"})), bearer(sign())
    admin = bearer(sign({"scope": ["admin"]})) | {"X-Chatstore-Owner": "bob"}
    assert client.get(SESSIONS, headers=reader).status_code == 200
    assert_problem(client.post(SESSIONS, json={}, headers=reader), 403)
    assert_problem(client.get(SESSIONS, headers=nobody), 403)
    assert client.get(f"{API}/me", headers=admin).json["owner"] == "bob"


def test_keys_and_tokens_work_next_to_each_other(make_app):
    app = make_app(auth="api-key,jwt", jwt_secret=SECRET)
    client = app.test_client()
    for text in (sign(), issue_key(app, "alice", Scope.READ)):
        assert client.get(f"{API}/me", headers=bearer(text)).json["owner"] == "alice"
    damaged = issue_key(app, "alice", Scope.READ)[:-1] + "!"
    assert client.get(SESSIONS, headers=bearer(damaged)).status_code in (400, 401)


def test_a_server_for_keys_refuses_tokens(make_app):
    client = make_app(auth="api-key").test_client()
    assert_problem(client.get(SESSIONS, headers=bearer(sign())), 401)


def test_the_key_set_in_a_file_verifies_tokens(make_app, tmp_path):
    path = tmp_path / "jwks.json"
    path.write_bytes(key_set(jwk(rsa_key(), kid="r"), jwk(ec_key(), kid="e")))
    app = make_app(auth="jwt", jwks=str(path), jwt_audience="chatstore")
    client, claims = app.test_client(), {"aud": "chatstore"}
    for key, algorithm, kid in ((rsa_key(), "RS256", "r"), (ec_key(), "ES256", "e")):
        good = sign(claims, key, algorithm, kid=kid)
        assert client.get(SESSIONS, headers=bearer(good)).status_code == 200
        for other in ({}, {"aud": "other"}):
            text = sign(other, key, algorithm, kid=kid)
            assert_problem(client.get(SESSIONS, headers=bearer(text)), 401)
    # No secret is configured, so no text is one.
    assert_problem(client.get(SESSIONS, headers=bearer(sign(claims))), 401)


def test_keys_that_were_never_read_are_a_503(make_app):
    with issuer(b"") as served:
        client = make_app(auth="jwt", jwks=served.url).test_client()
        text = sign(key=rsa_key(), algorithm="RS256", kid="r")
        response = client.get(SESSIONS, headers=bearer(text))
        assert_problem(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        # A token that no key can verify needs none.
        unsafe = sign(key=rsa_key(), algorithm="RS256", jku=served.url)
        assert_problem(client.get(SESSIONS, headers=bearer(unsafe)), 401)


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_file_without_keys_stops_the_start(make_app, tmp_path, content):
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"CHATSTORE_JWKS is {path}, which "):
        make_app(auth="jwt", jwks=str(path))


def test_a_server_that_takes_tokens_for_other_services_says_so(make_app, capsys):
    make_app(auth="jwt", jwks="https://id.example/jwks", jwt_audience="chatstore")
    assert "JWT_AUDIENCE" not in capsys.readouterr().err
    make_app(auth="jwt", jwks="https://id.example/jwks")
    assert "JWT_AUDIENCE is empty" in capsys.readouterr().err
