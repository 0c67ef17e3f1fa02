import re

import pytest

from chatstore import clock as clock_module
from chatstore.access.secret_tokens import API_KEY_PREFIX, LOGIN_PREFIX, new_token
from chatstore.enums import Scope
from chatstore.web.rate_limits import RateLimiter, address_key
from tests.support import SESSIONS, assert_problem, on_sqlite
from tests.support.access import bearer, issue_key, keyed_client
from tests.support.redis import Redis
from tests.support.statements import recorded_statements

POLICY = '"{}";q={};w=60'


@pytest.fixture
def later(monkeypatch):
    """Move the monotonic clock on by some seconds."""

    def move(seconds):
        then = clock_module.monotonic_source() + seconds
        monkeypatch.setattr(clock_module, "monotonic_source", lambda: then)

    move(0)  # it stands still
    return move


def test_a_key_has_its_quota_in_each_minute(later):
    limiter = RateLimiter("max_tests", quota=2)
    standings = [limiter.count("a") for _ in range(3)]
    assert [each.remaining for each in standings] == [1, 0, 0]
    assert [each.is_over for each in standings] == [False, False, True]
    later(45)
    assert (limiter.count("a").is_over, limiter.count("a").reset_seconds) == (True, 15)
    later(16)
    assert limiter.count("a").remaining == 1


def test_keys_do_not_share_a_quota(later):
    limiter = RateLimiter("max_tests", quota=1)
    assert not any(limiter.count(key).is_over for key in "abc")


def test_the_oldest_keys_are_forgotten(later):
    limiter = RateLimiter("max_tests", quota=1, max_keys=2)
    for key in "abc":
        limiter.count(key)
    assert [limiter.count(key).is_over for key in "cba"] == [True, True, False]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (None, ""),
        ("", ""),
        ("unix:", "unix:"),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
    ],
)
def test_an_address_counts_with_its_network(address, key):
    assert address_key(address) == key


@on_sqlite
def test_a_caller_has_a_quota_of_its_own(make_app):
    app = make_app(auth="api-key", requests_per_minute=2)
    alice, bob = keyed_client(app, "alice"), keyed_client(app, "bob")
    first = alice.get(SESSIONS)
    policy, left = POLICY.format("requests-per-minute", 2), first.headers["RateLimit"]
    assert first.headers["RateLimit-Policy"] == policy
    assert re.fullmatch(r'"requests-per-minute";r=1;t=(59|60)', left)
    assert alice.get(SESSIONS).status_code == 200
    refused = alice.get(SESSIONS)
    assert_problem(refused, 429)
    assert 59 <= int(refused.headers["Retry-After"]) <= 60
    assert bob.get(SESSIONS).status_code == 200


@on_sqlite
def test_an_administrator_counts_once_for_all_owners(make_app):
    app = make_app(auth="api-key", requests_per_minute=2)
    admin = keyed_client(app, "root", Scope.ADMIN)
    statuses = [
        admin.get(SESSIONS, headers={"X-Chatstore-Owner": owner}).status_code
        for owner in ("alice", "bob", "carol")
    ]
    assert statuses == [200, 200, 429]


@on_sqlite
def test_an_address_has_a_quota_and_monitors_have_none(make_app):
    client = make_app(address_requests_per_minute=2).test_client()
    statuses = [client.get(path).status_code for path in (SESSIONS, "/no", "/docs")]
    assert statuses == [200, 404, 429]
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200
    other = {"REMOTE_ADDR": "192.0.2.1"}
    assert client.get(SESSIONS, environ_overrides=other).status_code == 200


@on_sqlite
def test_failed_logins_lock_out_no_key_in_use(make_app, later):
    app = make_app(auth="api-key", failed_logins_per_minute=2)
    alice, bob = keyed_client(app, "alice"), keyed_client(app, "bob")
    stranger = app.test_client()
    assert alice.get(SESSIONS).status_code == 200
    unknown = bearer(new_token(API_KEY_PREFIX)[0])
    answers = [stranger.get(SESSIONS, headers=unknown) for _ in range(3)]
    assert [each.status_code for each in answers] == [401, 401, 429]
    assert answers[2].headers["Retry-After"]
    assert_problem(answers[2], 429, detail="More than 2 failed logins in a minute")
    assert stranger.get(SESSIONS).status_code == 401  # no credential
    later(10)  # the process reads a key in use again
    assert alice.get(SESSIONS).status_code == 200
    # The server cannot know this key without a query.
    assert bob.get(SESSIONS).status_code == 429
    later(60)
    assert bob.get(SESSIONS).status_code == 200


@on_sqlite
@pytest.mark.parametrize(
    ("route", "status"),
    [
        (f"GET {SESSIONS}", 429),
        ("GET /login", 200),
        ("POST /login", 429),
        ("POST /logout", 303),
    ],
)
@pytest.mark.parametrize("prefix", [API_KEY_PREFIX, LOGIN_PREFIX])
def test_over_the_limit_a_wrong_token_costs_no_statement(
    make_app, prefix, route, status
):
    app = make_app(auth="api-key", failed_logins_per_minute=3)
    client, (method, path) = app.test_client(), route.split()

    def send():
        # Each time another one, so that no cache of wrong tokens helps.
        text = new_token(prefix)[0]
        headers = {"Sec-Fetch-Site": "same-origin"}
        if prefix == LOGIN_PREFIX:
            client.set_cookie("chatstore", text)
        elif path == SESSIONS:
            headers |= bearer(text)
        return client.open(path, method=method, headers=headers, data={"key": text})

    with app.app_context(), recorded_statements() as statements:
        for _ in range(3):
            send()
        client.set_cookie("chatstore", new_token(LOGIN_PREFIX)[0])
        statements.clear()
        answers = [client.get(SESSIONS) for _ in range(3)]
        assert len(statements) <= 3 * 2
        statements.clear()
        answers = [send() for _ in range(20)]
    assert {each.status_code for each in answers} == {status}
    assert statements == []


@on_sqlite
def test_two_servers_share_the_failed_logins_of_a_redis(make_app, tmp_path):
    unknown = bearer(new_token(API_KEY_PREFIX)[0])
    with Redis(tmp_path) as redis:
        first, second = (
            make_app(
                auth="api-key", failed_logins_per_minute=2, rate_limit_storage=redis.url
            )
            for _ in range(2)
        )
        for _ in range(2):
            assert first.test_client().get(SESSIONS, headers=unknown).status_code == 401
        with second.app_context(), recorded_statements() as statements:
            answer = second.test_client().get(SESSIONS, headers=unknown)
    assert (answer.status_code, statements) == (429, [])


@on_sqlite
def test_an_owner_logs_in_and_shares_so_often_only(make_app, later):
    app = make_app(auth="api-key", logins_per_minute=2, shares_per_minute=1)
    alice, key = keyed_client(app, "alice"), issue_key(app, "alice", Scope.READ)
    own = {"Sec-Fetch-Site": "same-origin"}
    chat = alice.post(SESSIONS, json={}).json["id"]

    def log_in():
        return app.test_client().post("/login", data={"key": key}, headers=own)

    def share():
        return alice.post(f"{SESSIONS}{chat}/shares", json={})

    assert [log_in().status_code for _ in range(2)] == [303, 303]
    assert share().status_code == 201
    with app.app_context(), recorded_statements() as statements:
        refused = [log_in() for _ in range(5)]
        assert_problem(share(), 429, detail="More than 1 new links in a minute")
    assert {each.status_code for each in refused} == {429}
    assert not [each for each in statements if "INSERT" in each]
    assert "Too many logins" in refused[0].text
    later(61)
    assert (log_in().status_code, share().status_code) == (303, 201)


@on_sqlite
def test_a_login_counts_as_a_request_of_its_key(make_app):
    app = make_app(auth="api-key", requests_per_minute=2)
    key, own = issue_key(app, "alice", Scope.READ), {"Sec-Fetch-Site": "same-origin"}
    client = app.test_client()
    answers = [
        client.post("/login", data={"key": key}, headers=own).status_code
        for _ in range(3)
    ]
    assert answers == [303, 303, 429]


@on_sqlite
def test_no_limit_adds_no_header(alice):
    assert "RateLimit" not in alice.get(SESSIONS).headers


@on_sqlite
def test_two_servers_share_the_counts_of_a_redis(make_app, tmp_path):
    with Redis(tmp_path) as redis:
        clients = [
            make_app(requests_per_minute=2, rate_limit_storage=redis.url)
            for _ in range(2)
        ]
        statuses = [app.test_client().get(SESSIONS).status_code for app in clients * 2]
    assert statuses == [200, 200, 429, 429]
    # Without Redis, each server counts for itself.
    after = [app.test_client().get(SESSIONS).status_code for app in clients]
    assert after == [200, 200]


@on_sqlite
def test_an_answer_names_each_limit_that_counted_it(make_app):
    app = make_app(requests_per_minute=5, address_requests_per_minute=9)
    headers = app.test_client().get(SESSIONS).headers
    assert headers["RateLimit-Policy"] == ", ".join(
        [
            POLICY.format("address-requests-per-minute", 9),
            POLICY.format("requests-per-minute", 5),
        ]
    )
    assert headers["RateLimit"].count(";r=") == 2


@on_sqlite
def test_wrong_keys_in_the_login_form_count_too(make_app):
    client = make_app(auth="api-key", failed_logins_per_minute=1).test_client()
    own = {"Sec-Fetch-Site": "same-origin"}
    answers = [
        client.post("/login", data={"key": "x", "next": "/docs"}, headers=own)
        for _ in range(2)
    ]
    assert [each.status_code for each in answers] == [401, 429]
    page = answers[1]
    assert page.mimetype == "text/html"
    seconds = page.headers["Retry-After"]
    words = f"Too many failed logins in a minute. Try again in {seconds} seconds."
    assert words in page.text
    assert 'value="/docs"' in page.text


@on_sqlite
def test_a_person_over_a_limit_of_addresses_gets_the_login_page(make_app):
    app = make_app(auth="api-key", address_requests_per_minute=1)
    client = app.test_client()
    assert client.get("/login").status_code == 200
    page = client.get("/login?next=/docs")
    assert (page.status_code, page.mimetype) == (429, "text/html")
    assert "Too many requests in a minute." in page.text
    assert page.headers["Retry-After"]
    assert page.headers["Cache-Control"] == "no-store"
    assert_problem(client.get(SESSIONS), 429)
