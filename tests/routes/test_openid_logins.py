import re
from urllib.parse import urlencode, urlsplit

import pytest
from sqlalchemy import select

from chatstore import clock as clock_module
from chatstore.db import db
from chatstore.models import AuditEntry, LoginSession
from chatstore.web.auth.openid import MAX_BYTES
from chatstore.web.auth.openid_attempts import LIFETIME
from tests.support import API, SESSIONS, assert_problem
from tests.support.logins import OWN_PAGE
from tests.support.openid import (
    CLIENT_ID,
    CLIENT_SECRET,
    openid_provider,
    query_of,
)
from tests.support.tokens import rsa_key, sign

START = "/login/openid"
CALLBACK = "/login/openid/callback"
COOKIE = "chatstore-openid"
FROM_PROVIDER = {"Sec-Fetch-Site": "cross-site"}
FAILED = "You could not be signed in. Please try again."
AWAY = "The provider cannot be reached now. Try again in a minute."


@pytest.fixture
def provider():
    with openid_provider() as started:
        yield started


@pytest.fixture
def make_openid_app(make_app, provider):
    def make(**settings):
        return make_app(
            **{
                "auth": "api-key",
                "openid_issuer": provider.url,
                "openid_client_id": CLIENT_ID,
                "openid_client_secret": CLIENT_SECRET,
                "openid_name": "Example & Sons",
            }
            | settings
        )

    return make


@pytest.fixture
def app(make_openid_app):
    return make_openid_app()


@pytest.fixture
def browser(app):
    return app.test_client()


def come_back(browser, url, **changes):
    """Send the browser from the provider's page to chatstore."""
    parts = urlsplit(url)
    query = {name: value for name, (value,) in query_of(url).items()} | changes
    return browser.get(f"{parts.path}?{urlencode(query)}", headers=FROM_PROVIDER)


def sign_in(browser, provider, next_path="/", **changes):
    started = browser.get(START, query_string={"next": next_path})
    assert started.status_code == 302
    return come_back(browser, provider.sign_in(started.location), **changes)


def assert_refused(answer, status=401, sentence=FAILED):
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert sentence in answer.text
    assert "Sign in with" in answer.text
    assert not any("=chc_" in each for each in answer.headers.getlist("Set-Cookie"))


def test_the_login_page_has_a_link_beside_the_form(browser):
    page = browser.get("/login?next=/docs?a=b")
    assert "Sign in with Example &amp; Sons" in page.text
    assert 'href="/login/openid?next=/docs?a%3Db"' in page.text
    assert 'name="key"' in page.text


def test_a_user_signs_in_and_out(app, browser, provider):
    page = sign_in(browser, provider, "/docs?a=1&b=2")
    assert page.status_code == 200
    assert 'content="0; url=/docs?a=1&amp;b=2"' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    (cookie,) = [each for each in page.headers.getlist("Set-Cookie") if "=chc_" in each]
    assert {"HttpOnly", "SameSite=Strict"} <= {*cookie.split("; ")}
    assert browser.get_cookie(COOKIE) is None
    assert browser.get(f"{API}/me").json["owner"] == "alice"
    created = browser.post(SESSIONS, json={}, headers=OWN_PAGE)
    assert created.status_code == 201
    assert_problem(browser.post(SESSIONS, json={}, headers=FROM_PROVIDER), 403)
    browser.post("/logout", headers=OWN_PAGE)
    assert_problem(browser.get(SESSIONS), 401)
    with app.app_context():
        acts = db.session.execute(
            select(AuditEntry.action, AuditEntry.actor).order_by(AuditEntry.id)
        ).all()
    assert acts[0] == ("login.created", "openid alice")
    assert acts[1][0] == "login.ended"


def test_the_provider_gets_what_the_standards_ask_for(browser, provider):
    started = browser.get(START)
    asked = {name: value for name, (value,) in query_of(started.location).items()}
    assert started.location.startswith(f"{provider.url}/authorize?tenant=1&")
    assert asked["scope"] == "openid"
    assert asked["redirect_uri"] == f"http://localhost{CALLBACK}"
    assert min(len(asked[each]) for each in ("state", "nonce", "code_challenge")) >= 43
    again = query_of(browser.get(START).location)
    assert all([asked[each]] != again[each] for each in ("state", "nonce"))
    sign_in(browser, provider)
    (body,) = provider.bodies
    assert body["grant_type"] == "authorization_code"
    assert "client_secret" not in body


def test_the_cookie_of_an_attempt_comes_back_from_another_site(browser):
    started = browser.get(START, base_url="https://localhost")
    name, *attributes = started.headers["Set-Cookie"].split("; ")
    assert name.startswith("__Host-chatstore-openid=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= {
        *attributes
    }
    assert started.headers["Cache-Control"] == "no-store"


def test_a_login_has_no_key_and_may_write(app, browser, provider):
    sign_in(browser, provider)
    with app.app_context():
        login = db.session.scalars(select(LoginSession)).one()
        assert (login.owner_id, login.scope, login.key_id) == ("alice", "write", None)


def test_claims_name_the_owner_and_the_scope(make_openid_app, provider):
    app = make_openid_app(
        openid_owner_claim="email",
        openid_scope_claim="roles",
        openid_scopes="openid email",
    )
    provider.claims = {
        "email": "Alice@Example.org",
        "email_verified": True,
        "roles": ["read", "cook"],
    }
    browser = app.test_client()
    assert "openid email" in query_of(browser.get(START).location)["scope"]
    sign_in(browser, provider)
    assert browser.get(f"{API}/me").json["owner"] == "Alice@Example.org"
    assert_problem(browser.post(SESSIONS, json={}, headers=OWN_PAGE), 403)
    provider.claims["email_verified"] = False
    assert_refused(sign_in(app.test_client(), provider))
    provider.claims |= {"email_verified": True, "roles": ["cook"]}
    refused = sign_in(app.test_client(), provider)
    assert_refused(refused, 403, "Your account may not use chatstore.")


def test_without_keys_the_page_has_only_the_link(make_openid_app, provider):
    browser = make_openid_app(auth="jwt", jwt_secret="x" * 32).test_client()
    page = browser.get("/login").text
    assert "Sign in with" in page
    assert 'name="key"' not in page
    assert_problem(browser.post("/login", headers=OWN_PAGE), 404)
    sign_in(browser, provider)
    assert browser.get(SESSIONS).status_code == 200


@pytest.mark.parametrize("path", [START, CALLBACK])
def test_without_a_provider_there_is_no_such_page(make_app, path):
    browser = make_app(auth="api-key").test_client()
    assert "Sign in with" not in browser.get("/login").text
    assert_problem(browser.get(path), 404)


def test_the_redirect_uri_of_the_settings_counts(make_openid_app, provider):
    uri = f"https://chat.example.org{CALLBACK}"
    browser = make_openid_app(openid_redirect_uri=uri).test_client()
    assert query_of(browser.get(START).location)["redirect_uri"] == [uri]


def test_a_foreign_host_begins_nothing(browser, provider):
    assert_problem(browser.get(START, base_url="http://evil.example"), 421)
    assert provider.asked == []


@pytest.mark.parametrize("path", ["https://evil.example", "//evil.example", "x"])
def test_a_login_leads_to_a_path_of_this_server(browser, provider, path):
    assert 'url=/"' in sign_in(browser, provider, path).text


def test_a_login_leads_to_a_fragment(browser, provider):
    assert 'url=/s/x#12"' in sign_in(browser, provider, "/s/x#12").text


@pytest.mark.parametrize("state", ["", "x", "é", "\0", "x" * 5000])
def test_a_wrong_state_is_refused(browser, provider, state):
    assert_refused(sign_in(browser, provider, state=state))
    assert provider.bodies == []


def test_an_answer_for_another_browser_is_refused(app, browser, provider):
    # An attacker sends a victim the end of the attacker's own attempt.
    url = provider.sign_in(browser.get(START).location)
    victim = app.test_client()
    assert_refused(come_back(victim, url))
    victim.get(START)
    assert_refused(come_back(victim, url))
    assert provider.bodies == []


@pytest.mark.parametrize("text", ["", "x", "a.b", "é"])
def test_a_forged_cookie_is_refused(browser, provider, text):
    url = provider.sign_in(browser.get(START).location)
    browser.set_cookie(COOKIE, text)
    assert_refused(come_back(browser, url))


def test_an_answer_counts_once(app, browser, provider):
    url = provider.sign_in(browser.get(START).location)
    kept = browser.get_cookie(COOKIE).value
    assert come_back(browser, url).status_code == 200
    assert_refused(come_back(browser, url))
    # With the cookie too, the provider refuses the code.
    other = app.test_client()
    other.set_cookie(COOKIE, kept)
    assert_refused(come_back(other, url))
    assert len(provider.bodies) == 2


def test_an_attempt_ends_after_ten_minutes(browser, provider, clock):
    url = provider.sign_in(browser.get(START).location)
    clock.now += LIFETIME
    assert_refused(come_back(browser, url))


def test_a_code_for_another_verifier_is_refused(app, browser, provider):
    # The code of a victim, injected into an attempt of the attacker.
    stolen = query_of(provider.sign_in(app.test_client().get(START).location))["code"]
    assert_refused(sign_in(browser, provider, code=stolen[0]))


@pytest.mark.parametrize("code", ["", "\n", "é", "x" * 5000])
def test_a_malformed_code_is_not_sent(browser, provider, code):
    assert_refused(sign_in(browser, provider, code=code))
    assert provider.bodies == []


def test_another_issuer_is_refused(browser, provider):
    assert_refused(sign_in(browser, provider, iss="https://evil.example"))
    assert provider.bodies == []


def test_a_user_who_refuses_is_back_on_the_login_page(browser, provider):
    answer = sign_in(browser, provider, error="access_denied<script>")
    assert_refused(answer)
    assert "access_denied" not in answer.text
    assert provider.bodies == []


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "x"},
        {"nonce": None},
        {"nonce": 5},
        {"exp": 1},
        {"exp": None},
        {"iat": 3_999_999_999},
        {"aud": "another"},
        {"aud": None},
        {"aud": [CLIENT_ID, "another"]},
        {"azp": "another"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": " "},
        {"sub": 5},
        {"sub": "x" * 256},
    ],
    ids=str,
)
def test_a_wrong_id_token_is_refused(browser, provider, claims):
    provider.claims = claims
    assert_refused(sign_in(browser, provider))


def test_several_audiences_are_fine_if_we_are_the_authorized_party(browser, provider):
    provider.claims = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    assert sign_in(browser, provider).status_code == 200


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        ("", "none"),
        (CLIENT_SECRET * 2, "HS256"),
        (rsa_key("of another"), "RS256"),
        (rsa_key(), "RS512"),
        (rsa_key(), "PS256"),
    ],
    ids=["none", "HS256", "another key", "RS512", "PS256"],
)
def test_a_wrong_signature_is_refused(browser, provider, key, algorithm):
    provider.key, provider.algorithm = key, algorithm
    assert_refused(sign_in(browser, provider))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", 5, [], sign()], ids=str)
def test_what_is_no_id_token_is_refused(browser, provider, text):
    provider.id_token = text
    assert_refused(sign_in(browser, provider))


BAD_ANSWERS = [
    (500, b"{}"),
    (302, b"{}"),
    (200, b""),
    (200, b"<html>"),
    (200, b"[]"),
    (200, b'"x"'),
    (200, b"[" * 100_000),
    (200, b"\xff"),
    (200, b'{"a": "' + b"x" * MAX_BYTES + b'"}'),
    (404, b'{"error": 5}'),
]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda each: str(each)[:20])
def test_a_provider_that_answers_badly_is_away(browser, provider, answer):
    provider.answers["/token"] = answer
    refused = sign_in(browser, provider)
    assert_refused(refused, 503, AWAY)
    assert refused.headers["Retry-After"]
    assert "/elsewhere" not in provider.asked


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda each: str(each)[:20])
def test_bad_metadata_begin_nothing(browser, provider, answer):
    provider.answers["/.well-known/openid-configuration"] = answer
    refused = browser.get(START)
    assert_refused(refused, 503, AWAY)
    assert "Set-Cookie" not in refused.headers
    # Impatient users do not make us ask again at once.
    browser.get(START)
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": ["x"]},
    ],
    ids=str,
)
def test_unsafe_metadata_begin_nothing(browser, provider, metadata):
    provider.metadata = metadata
    assert_refused(browser.get(START), 503, AWAY)


def test_keys_that_cannot_be_read_are_the_providers_failure(browser, provider):
    provider.answers["/jwks"] = (500, b"")
    assert_refused(sign_in(browser, provider), 503, AWAY)


def test_a_wrong_client_secret_is_logged_for_the_operator(
    make_openid_app, provider, capfd
):
    browser = make_openid_app(openid_client_secret="wrong").test_client()
    assert_refused(sign_in(browser, provider), 503, AWAY)
    logged = capfd.readouterr().err
    assert "invalid_client" in logged
    assert "wrong" not in logged


def test_a_provider_may_want_the_secret_in_the_body(browser, provider):
    provider.metadata = {
        "token_endpoint_auth_methods_supported": ["client_secret_post"]
    }
    assert sign_in(browser, provider).status_code == 200
    assert provider.bodies[0]["client_secret"] == CLIENT_SECRET


def test_a_provider_that_is_away_is_asked_again_later(make_openid_app, monkeypatch):
    now = clock_module.monotonic_source()
    with openid_provider() as provider:
        monkeypatch.setattr(clock_module, "monotonic_source", lambda: now)
        browser = make_openid_app(openid_issuer=provider.url).test_client()
        provider.answers["/.well-known/openid-configuration"] = (500, b"")
        assert_refused(browser.get(START), 503, AWAY)
        del provider.answers["/.well-known/openid-configuration"]
        now += 6
        assert sign_in(browser, provider).status_code == 200
        # The metadata of the last hour stay while the provider is away.
        now += 3601
        provider.answers["/.well-known/openid-configuration"] = (500, b"")
        assert sign_in(browser, provider).status_code == 200
    assert_refused(
        make_openid_app(openid_issuer=provider.url).test_client().get(START), 503, AWAY
    )


def test_failures_of_an_address_are_limited(make_openid_app, provider):
    browser = make_openid_app(failed_logins_per_minute=2).test_client()
    provider.claims = {"nonce": "x"}
    for _ in range(2):
        assert_refused(sign_in(browser, provider))
    refused = sign_in(browser, provider)
    assert_refused(refused, 429, "Signing in has failed too often. Wait a minute.")
    assert refused.headers["Retry-After"]


def test_the_pages_have_no_inline_script_or_style(browser, provider):
    for page in (browser.get("/login"), sign_in(browser, provider)):
        assert (
            re.findall(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=", page.text) == []
        )


def test_the_callback_reads_only(browser):
    assert_problem(browser.post(CALLBACK, headers=OWN_PAGE), 405)
