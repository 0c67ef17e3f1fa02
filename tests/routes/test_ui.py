import gzip
import re

import pytest

from chatstore import __version__
from chatstore.app import create_app
from chatstore.enums import Scope
from chatstore.web.static_files import package_files
from chatstore.web.ui_page import package_page
from tests.support import API, assert_problem, make_settings
from tests.support.access import issue_key
from tests.support.logins import logged_in_client

SESSION_PATH = "/s/6f1e2f62-6c0f-4a3b-9d3c-1f2a3b4c5d6e"
PATHS = ("/", SESSION_PATH, "/search?q=a", "/archived", "/trash", "/usage", "/settings")
SHARED_PATH = "/shared/chs_abc"
# What browsers send when a person opens a page.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
POLICY = re.compile(
    r"default-src 'none'; script-src 'self' 'sha256-[A-Za-z0-9+/]{43}=';"
    r" style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self';"
    r" base-uri 'none';"
    r" form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script';"
    r" trusted-types 'none'"
)


@pytest.fixture
def visitor(make_visitor):
    return make_visitor()


@pytest.fixture
def make_visitor(tmp_path):
    """Return clients of applications whose tested requests need no database."""

    def make(**settings):
        url = f"sqlite:///{tmp_path}/unused.db"
        return create_app(make_settings(url, **settings)).test_client()

    return make


def shown(page):
    """Return what the page tells its scripts."""
    (place,) = re.findall(r'<div id="app"([^>]*)>', page.text)
    return dict(re.findall(r'data-([a-z]+)="([^"]*)"', place))


@pytest.mark.parametrize("path", [*PATHS, SHARED_PATH])
def test_each_path_of_the_ui_is_the_page(visitor, path):
    page = visitor.get(path)
    assert page.status_code == 200
    assert page.content_type == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-cache"
    assert POLICY.fullmatch(page.headers["Content-Security-Policy"])
    assert shown(page) == {
        "version": __version__,
        "auth": "none",
        "static": f"/static/{package_files().hash}/",
        "status": "200",
    }


def test_only_a_shared_conversation_hides_from_search_engines(visitor):
    shared, own = visitor.get(SHARED_PATH), visitor.get("/")
    assert shared.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert '<meta name="robots" content="noindex, nofollow">' in shared.text
    assert "X-Robots-Tag" not in own.headers
    assert "robots" not in own.text


def test_the_only_inline_script_is_the_import_map_of_the_policy(visitor):
    page = visitor.get("/").text
    inline = [each for each in re.findall(r"<script[^>]*>(.*?)</script>", page) if each]
    assert inline == [package_page().import_map]
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "start"), (SESSION_PATH, "session"), (SHARED_PATH, "shared")],
)
def test_a_page_preloads_what_it_shows_and_no_other(visitor, path, kind):
    page = visitor.get(path).text
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"]*)">', page)
    assert preloaded == package_page().modules[kind]
    assert not any("highlight" in each or "uplot" in each for each in preloaded)


def test_the_page_is_compressed_for_browsers_that_ask_for_it(visitor):
    packed = visitor.get("/", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == visitor.get("/").data


def test_all_that_the_page_loads_is_served_for_ever(visitor):
    urls = re.findall(r'(?:src|href)="([^"]*)"', visitor.get("/").text)
    files = [each for each in urls if each != "/docs"]
    assert len(files) >= 5
    for url in files:
        answer = visitor.get(url)
        assert answer.status_code == 200, url
        assert "immutable" in answer.headers["Cache-Control"], url


@pytest.mark.parametrize("path", ["/nope", "/s/17", "/s/", "/shared/a/b", "/login"])
def test_a_browser_at_another_path_gets_the_page_as_a_404(visitor, path):
    page = visitor.get(path, headers=BROWSER)
    assert page.status_code == 404
    assert page.content_type == "text/html; charset=utf-8"
    assert POLICY.fullmatch(page.headers["Content-Security-Policy"])
    assert set(page.vary) == {"Accept", "Accept-Encoding"}
    assert shown(page)["status"] == "404"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/*;q=0"])
def test_a_program_at_another_path_gets_a_problem(visitor, accept):
    headers = {"Accept": accept} if accept else {}
    assert_problem(visitor.get("/nope", headers=headers), 404)


@pytest.mark.parametrize(
    "path", [f"{API}/nope", "/static/nope.js", "/docs/assets/nope.js"]
)
def test_what_is_no_page_is_a_problem_for_browsers_too(visitor, path):
    assert_problem(visitor.get(path, headers=BROWSER), 404)


def test_a_form_at_another_path_is_a_problem(visitor):
    assert_problem(visitor.post("/nope", headers=BROWSER), 404)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/login?next=/"),
        (SESSION_PATH, f"/login?next={SESSION_PATH}"),
        ("/search?q=a%20b&x=1", "/login?next=/search?q%3Da%2520b%26x%3D1"),
    ],
)
def test_a_browser_without_a_login_is_sent_to_the_login(make_visitor, path, location):
    visitor = make_visitor(auth="api-key")
    answer = visitor.get(path, headers=BROWSER)
    assert answer.status_code == 303
    assert answer.headers["Location"] == location
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_path_without_a_page_asks_for_no_login(make_visitor):
    assert make_visitor(auth="api-key").get("/nope", headers=BROWSER).status_code == 404


def test_a_shared_conversation_asks_for_no_login(make_visitor):
    page = make_visitor(auth="api-key").get(SHARED_PATH)
    assert page.status_code == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": "none"},
        {"auth": "jwt", "jwt_secret": "s" * 32},
        {"auth": "proxy", "trusted_proxies": "unix"},
        {"auth": "api-key,proxy", "trusted_proxies": "unix"},
    ],
)
def test_where_the_login_is_elsewhere_the_page_is_served(make_visitor, settings):
    page = make_visitor(**settings).get("/")
    assert page.status_code == 200
    assert set(shown(page)["auth"].split()) == set(settings["auth"].split(","))


def test_a_login_opens_the_page_and_can_end(make_app):
    app = make_app(auth="api-key")
    browser = logged_in_client(app, issue_key(app, "alice", Scope.WRITE))
    page = browser.get("/")
    assert page.status_code == 200
    assert shown(page)["logout"] == "/logout"


def test_an_ended_login_leads_to_the_login(make_app):
    app = make_app(auth="api-key")
    browser = logged_in_client(app, issue_key(app, "alice", Scope.WRITE))
    browser.set_cookie("chatstore", f"chc_{'x' * 61}")
    assert browser.get("/").status_code == 303
