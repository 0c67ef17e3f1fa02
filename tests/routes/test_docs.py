import re

import pytest

from chatstore.app import create_app
from tests.support import assert_problem, make_settings

WITH_AND_WITHOUT_SLASH = pytest.mark.parametrize("slash", ["", "/"])


@pytest.fixture
def visitor(tmp_path):
    """A client of an application whose tested requests need no database."""
    return create_app(make_settings(f"sqlite:///{tmp_path}/unused.db")).test_client()


def directives(response):
    policy = response.headers["Content-Security-Policy"].split("; ")
    return dict(each.split(" ", 1) for each in policy)


def loaded(page):
    """Return the URLs that the page makes a browser load."""
    return re.findall(r'(?:src|href|data-url)="([^"]*)"', page.text)


@WITH_AND_WITHOUT_SLASH
def test_the_docs_are_a_page(visitor, slash):
    response = visitor.get(f"/docs{slash}")
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert "<title>chatstore API</title>" in response.text


def test_the_docs_allow_only_what_comes_from_here(visitor):
    policy = directives(visitor.get("/docs"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not any("unsafe" in each or "http" in each for each in policy.values())


def test_the_docs_have_no_inline_script_or_style(visitor):
    page = visitor.get("/docs").text
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert scripts and not any(scripts)
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", page) == []


def test_all_that_the_docs_load_is_served_from_here(visitor):
    paths = loaded(visitor.get("/docs"))
    assert len(paths) >= 5
    for path in paths:
        assert re.match("/[^/]", path), path
        assert visitor.get(path, buffered=True).status_code == 200, path


@pytest.mark.parametrize("name", ["nope.js", "..%2f__init__.py", "../__init__.py", ""])
def test_a_missing_asset_is_not_found(visitor, name):
    assert_problem(visitor.get(f"/docs/assets/{name}"), 404)


@WITH_AND_WITHOUT_SLASH
def test_the_document_is_openapi(visitor, slash):
    response = visitor.get(f"/openapi.json{slash}")
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.json["openapi"] == "3.1.0"
