import pytest

from chatstore import clock as clock_module
from tests.support import API, SESSIONS, assert_problem, on_sqlite, session_url
from tests.support.access import audited_actors

# No query differs between the databases.
pytestmark = on_sqlite
PROXY, STRANGER = "10.0.0.7", "192.0.2.1"


@pytest.fixture
def client(make_app):
    return make_app(
        auth="proxy", trusted_proxies="10.0.0.0/24", proxy_hops=1
    ).test_client()


def ask(client, owner, peer=PROXY, **environ):
    """Return the answer to a request of `peer` with this owner header."""
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_USER": owner} | environ
    return client.get(f"{API}/me", environ_overrides=environ)


def test_a_trusted_proxy_names_the_owner(client):
    me = ask(client, "ada@example.org").json
    assert (me["owner"], me["scopes"]) == ("ada@example.org", ["read", "write"])
    assert ask(client, "zoë".encode().decode("latin-1")).json["owner"] == "zoë"


def test_no_owner_can_pass_for_another_actor_in_the_audit_log(client):
    client.environ_base |= {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_USER": "unknown"}
    chat = client.post(SESSIONS, json={}).json
    client.post(f"{session_url(chat)}/shares", json={})
    assert audited_actors(client.application) == ["proxy unknown"]


@pytest.mark.parametrize("peer", [STRANGER, "", "10.0.1.7", "::1", "unix"])
def test_the_header_of_anyone_else_is_ignored(client, peer):
    assert_problem(ask(client, "ada", peer), 401)


def test_a_stranger_that_claims_the_address_of_the_proxy_stays_one(client):
    assert_problem(ask(client, "ada", STRANGER, HTTP_X_FORWARDED_FOR=PROXY), 401)
    # And the proxy stays one, whichever client it names.
    assert ask(client, "ada", PROXY, HTTP_X_FORWARDED_FOR=STRANGER).status_code == 200


def test_a_unix_socket_can_be_trusted(make_app):
    client = make_app(auth="proxy", trusted_proxies="unix").test_client()
    assert ask(client, "ada", "").status_code == 200
    assert_problem(ask(client, "ada", "127.0.0.1"), 401)


@pytest.mark.parametrize("owner", ["", " ", "\t"])
def test_a_proxy_that_names_nobody_is_401(client, owner):
    response = ask(client, owner)
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="chatstore"'


@pytest.mark.parametrize("owner", ["eve,ada", "a\0b", "\xff", "a" * 256])
def test_a_name_that_cannot_be_an_owner_is_401(client, owner):
    assert_problem(ask(client, owner), 401)


def test_the_header_has_the_name_of_the_setting(make_app):
    client = make_app(
        auth="proxy",
        trusted_proxies=PROXY,
        proxy_owner_header="X-Auth-Request-Email",
    ).test_client()
    assert_problem(ask(client, "ada"), 401)
    assert ask(client, "", HTTP_X_AUTH_REQUEST_EMAIL="ada").json["owner"] == "ada"


def test_a_proxy_may_not_act_for_another_owner(client):
    answer = ask(client, "ada", HTTP_X_CHATSTORE_OWNER="bob")
    assert_problem(answer, 403)


def test_a_header_for_other_modes_does_not_matter(client):
    assert ask(client, "ada", HTTP_AUTHORIZATION="Basic YTpi").status_code == 200
    assert_problem(ask(client, "", HTTP_AUTHORIZATION="Bearer x"), 401)


def test_strangers_are_logged_once_a_minute(client, monkeypatch, caplog):
    now = clock_module.monotonic_source()
    monkeypatch.setattr(clock_module, "monotonic_source", lambda: now)
    for peer in [STRANGER, STRANGER, "192.0.2.2"]:
        ask(client, "ada", peer)
    assert [each["peer"] for each in ignored(caplog)] == [STRANGER, "192.0.2.2"]
    now += 61
    ask(client, "ada", STRANGER)
    assert len(ignored(caplog)) == 3


def test_the_memory_of_strangers_is_bounded(client, caplog):
    for number in range(1100):
        ask(client, "ada", f"192.0.{2 + number // 256}.{number % 256}")
    count = len(ignored(caplog))
    caplog.clear()  # a failure shows no thousand lines
    assert count == 1000


def ignored(caplog):
    lines = [each.msg for each in caplog.records if isinstance(each.msg, dict)]
    return [each for each in lines if each["event"] == "owner header ignored"]
