import re

import pytest
from sqlalchemy import select

from chatstore.access.secret_tokens import API_KEY_PREFIX, new_token
from chatstore.db import db
from chatstore.enums import Scope
from chatstore.models import AuditEntry, LoginSession
from tests.support import API, SESSIONS, assert_problem, count
from tests.support.access import bearer, issue_key
from tests.support.logins import OWN_PAGE, logged_in_client
from tests.support.statements import MOST_TO_WRITE, recorded_statements

LOGINS = f"{API}/me/logins"


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


@pytest.fixture
def browser(app):
    return app.test_client()


def acts(app):
    with app.app_context():
        entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(each.action, each.owner_id) for each in entries]


def log_in(browser, key, *, base_url=None, **fields):
    data = {"key": key, **fields}
    return browser.post("/login", data=data, headers=OWN_PAGE, base_url=base_url)


def test_a_login_leads_to_a_fragment(app, browser):
    key = issue_key(app, "alice", Scope.WRITE)
    assert log_in(browser, key, next="/s/x#12").headers["Location"] == "/s/x#12"
    refused = log_in(browser, "wrong", next="/s/x#12")
    assert 'name="next" value="/s/x#12"' in refused.text


def test_the_page_asks_for_a_key_and_has_no_inline_script_or_style(browser):
    page = browser.get("/login?next=/docs")
    assert page.status_code == 200
    assert 'name="key" type="password"' in page.text
    assert 'name="next" value="/docs"' in page.text
    assert re.findall(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=", page.text) == []
    assert "'unsafe" not in page.headers["Content-Security-Policy"]
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("base_url", "warns"),
    [
        ("http://chat.lan", True),
        ("https://chat.lan", False),
        ("http://localhost", False),
    ],
)
def test_the_page_says_what_plain_http_means(make_app, base_url, warns):
    browser = make_app(auth="api-key", allowed_hosts="chat.lan").test_client()
    page = browser.get("/login", base_url=base_url)
    assert page.status_code == 200
    assert ("everybody on the network can read" in page.text) is warns


def test_a_key_gives_a_cookie_that_scripts_and_other_sites_cannot_use(app, browser):
    key = issue_key(app, "alice", Scope.WRITE)
    response = log_in(browser, f" {key}\n", base_url="https://localhost")
    assert response.status_code == 303
    assert response.headers["Location"] == "/"
    name, *attributes = response.headers["Set-Cookie"].split("; ")
    assert re.fullmatch("__Host-chatstore=chc_[0-9A-Za-z]{61}", name)
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(attributes)
    assert f"Max-Age={14 * 86_400}" in attributes
    assert not any(each.startswith("Domain") for each in attributes)
    assert acts(app) == [("login.created", "alice")]


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80"])
def test_on_loopback_the_cookie_works_without_tls(app, browser, host):
    key = issue_key(app, "alice", Scope.READ)
    response = log_in(browser, key, base_url=f"http://{host}")
    assert response.headers["Set-Cookie"].startswith("chatstore=chc_")
    assert "Secure" not in response.headers["Set-Cookie"]


def test_without_tls_and_on_another_host_the_cookie_is_secure(make_app):
    app = make_app(auth="api-key", allowed_hosts="chat.lan")
    key = issue_key(app, "alice", Scope.READ)
    response = log_in(app.test_client(), key, base_url="http://chat.lan")
    assert "Secure" in response.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/docs?a=b#c", "/docs?a=b#c"),
        ("", "/"),
        ("docs", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        (" //evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/" + "a" * 3000, "/"),
    ],
)
def test_a_login_leads_to_a_path_of_this_server(app, browser, path, location):
    response = log_in(browser, issue_key(app, "alice", Scope.READ), next=path)
    assert response.headers["Location"] == location


def wrong_keys(app):
    text = issue_key(app, "alice", Scope.READ)
    other, _ = new_token(API_KEY_PREFIX + text[4:16])
    return [
        "",
        "x",
        text[:-1],
        "\0",
        new_token(API_KEY_PREFIX)[0],
        text[:16] + other[16:71],
    ]


def test_every_wrong_key_gets_the_same_page(app, browser):
    answers = [log_in(browser, key) for key in wrong_keys(app)]
    assert {answer.status_code for answer in answers} == {401}
    (page,) = {answer.text for answer in answers}
    assert "This key was not accepted: it is wrong, revoked or expired." in page
    for answer in answers:
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_form_without_a_key_is_401(browser):
    assert browser.post("/login", headers=OWN_PAGE).status_code == 401


@pytest.mark.parametrize("kind", [None, "multipart/form-data"])
def test_a_large_form_is_refused(browser, kind):
    response = browser.post(
        "/login", data={"key": "a" * 20_000}, headers=OWN_PAGE, content_type=kind
    )
    assert_problem(response, 400, detail="larger")


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}]
    + [{"Origin": "https://evil.example"}, {"Origin": "null"}],
)
def test_other_sites_log_nobody_in_or_out(app, path, headers):
    alice = logged_in_client(app, "alice")
    key = issue_key(app, "eve", Scope.READ)
    assert_problem(alice.post(path, data={"key": key}, headers=headers), 403)
    assert alice.get(f"{API}/me").json["owner"] == "alice"


def test_a_logout_ends_the_login_and_clears_the_browser(app):
    alice = logged_in_client(app, "alice")
    stolen = alice.get_cookie("chatstore").value
    assert "alice" in alice.get("/login").text
    response = alice.post("/logout", headers=OWN_PAGE)
    assert (response.status_code, response.location) == (303, "/login")
    assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert alice.get_cookie("chatstore") is None
    headers = {"Cookie": f"chatstore={stolen}"}
    assert_problem(app.test_client().get(SESSIONS, headers=headers), 401)
    assert acts(app) == [("login.created", "alice"), ("login.ended", "alice")]


def test_a_logout_without_a_login_clears_the_browser_too(app, browser):
    response = browser.post("/logout", headers=OWN_PAGE)
    assert response.status_code == 303
    assert "Clear-Site-Data" in response.headers
    assert acts(app) == []


def test_an_owner_ends_all_logins(app):
    first, second = logged_in_client(app, "alice"), logged_in_client(app, "alice")
    bob = logged_in_client(app, "bob")
    headers = bearer(issue_key(app, "alice", Scope.WRITE))
    for _ in range(2):
        response = app.test_client().delete(LOGINS, headers=headers)
        assert (response.status_code, response.data) == (204, b"")
    with app.app_context():
        assert count(db.session, LoginSession) == 1
    for ended in (first, second):
        assert_problem(ended.get(SESSIONS), 401)
    assert bob.get(SESSIONS).status_code == 200
    assert acts(app)[3:] == [("login.ended", "alice")]


def test_ending_logins_needs_a_caller_with_scope_write(app, browser):
    assert_problem(browser.delete(LOGINS), 401)
    headers = bearer(issue_key(app, "alice", Scope.READ))
    assert_problem(browser.delete(LOGINS, headers=headers), 403)


@pytest.mark.parametrize("auth", ["none"])
@pytest.mark.parametrize("route", ["GET /login", "POST /login", "POST /logout"])
def test_without_keys_there_is_no_login(make_app, auth, route):
    method, path = route.split()
    browser = make_app(auth=auth).test_client()
    response = browser.open(path, method=method, headers=OWN_PAGE)
    assert_problem(response, 404, detail="There is nothing at this path.")


def test_a_login_writes_few_statements(app, browser):
    key = issue_key(app, "alice", Scope.WRITE)
    log_in(browser, key)
    with app.app_context(), recorded_statements() as statements:
        log_in(browser, key)
    written = [each for each in statements if not each.startswith("BEGIN")]
    assert len(written) <= MOST_TO_WRITE + 1  # one more reads the key before the lock
