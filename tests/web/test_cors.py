import pytest

from chatstore.enums import Scope
from tests.support import MISSING_ID, SESSIONS, assert_problem, on_sqlite
from tests.support.access import bearer, issue_key

pytestmark = on_sqlite
UI = "https://ui.example"
LISTED = [UI, "http://localhost:3000", "http://[::1]:3000", "tauri://localhost"]
UNLISTED = [
    *["https://ui.example.evil.example", "http://ui.example", "https://ui.example:8"],
    *["https://uiXexample", "https://a.ui.example", "http://:3000", "null", "*", ""],
    *["http://[::1]:30000", "http://[::1]", f"{UI}/", f"x{UI}"],
]


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key", cors_origins=" , ".join(LISTED))


def preflight(app, origin):
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,content-type,x-evil",
        "Sec-Fetch-Site": "cross-site",
    }
    return app.test_client().options(f"{SESSIONS}{MISSING_ID}", headers=headers)


def cors_headers(response):
    return {
        name: value
        for name, value in response.headers
        if name.startswith("Access-Control-")
    }


@pytest.mark.parametrize("origin", LISTED)
def test_a_preflight_of_a_listed_origin_needs_no_login(app, origin):
    response = preflight(app, origin)
    assert (response.status_code, response.data) == (204, b"")
    assert cors_headers(response) == {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "DELETE, GET, HEAD, PATCH, POST, PUT",
        "Access-Control-Allow-Headers": "authorization, content-type",
        "Access-Control-Expose-Headers": "ETag, Idempotency-Replayed, Location,"
        " Retry-After, X-Request-Id",
        "Access-Control-Max-Age": "600",
    }
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("origin", UNLISTED)
def test_an_origin_that_is_not_listed_gets_nothing(app, origin):
    assert cors_headers(preflight(app, origin)) == {}
    client = app.test_client()
    for method in ("GET", "OPTIONS", "POST"):
        response = client.open(SESSIONS, method=method, headers={"Origin": origin})
        assert cors_headers(response) == {}
    assert response.status_code == 403


def test_a_listed_origin_reads_and_writes_with_a_key(app):
    headers = bearer(issue_key(app, "alice", Scope.WRITE)) | {
        "Origin": UI,
        "Sec-Fetch-Site": "cross-site",
    }
    client = app.test_client()
    created = client.post(SESSIONS, json={}, headers=headers)
    assert created.status_code == 201
    assert created.headers["Access-Control-Allow-Origin"] == UI
    listed = client.get(SESSIONS, headers=headers)
    again = headers | {"If-None-Match": listed.headers["ETag"]}
    for response in (listed, client.get(SESSIONS, headers=again)):
        assert response.headers["Access-Control-Allow-Origin"] == UI


def test_errors_can_be_read_by_listed_origins(app):
    response = app.test_client().get(SESSIONS, headers={"Origin": UI})
    assert_problem(response, 401)
    assert response.headers["Access-Control-Allow-Origin"] == UI


def test_pages_are_for_no_other_origin(app):
    for path in ("/login", "/docs", "/metrics"):
        response = app.test_client().get(path, headers={"Origin": UI})
        assert cors_headers(response) == {}


def test_cors_is_off_by_default(make_app):
    app = make_app()
    assert cors_headers(preflight(app, UI)) == {}
    response = app.test_client().post(SESSIONS, json={}, headers={"Origin": UI})
    assert_problem(response, 403)
