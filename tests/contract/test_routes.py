"""Rules for every route, present and future."""

import re

import pytest

from chatstore.web.auth import identify_caller
from tests.support import MISSING_ID, ROOT, SESSIONS

API_DOC = ROOT / "docs" / "api.md"
# Routes without authentication, because they return nobody's data.
PUBLIC = {
    "GET /",
    "GET /docs",
    "GET /docs/assets/{name}",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "GET /static/{filename}",
}
# Files that pages load; the docs describe the pages instead.
ASSETS = {"GET /docs/assets/{name}", "GET /static/{filename}"}
SAFETY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "",
}


def path_of(rule):
    path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)
    return path.rstrip("/") or "/"


def rules(app):
    """Return each route as `METHOD /path/{parameter}`, with its rule."""
    return [
        (f"{method} {path_of(rule)}", rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    ]


def routes(app):
    return {route for route, _ in rules(app)}


def documented_routes():
    """Return the routes that docs/api.md names, in code or in headings."""
    found = re.findall(
        r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]*)", API_DOC.read_text("utf-8")
    )
    return {f"{method} {path.rstrip('/') or '/'}" for method, path in found}


def test_every_route_identifies_its_caller_or_is_public(app):
    for route, rule in rules(app):
        blueprint = rule.endpoint.rpartition(".")[0]
        before = app.before_request_funcs.get(blueprint, [])
        assert (identify_caller in before) != (route in PUBLIC), route


def test_every_public_route_is_there_and_outside_the_api(app):
    assert routes(app) >= PUBLIC
    assert not any(route.startswith("GET /api/") for route in PUBLIC)


def test_every_route_is_documented(app):
    assert routes(app) - ASSETS - documented_routes() == set()


def test_every_documented_route_is_there(app):
    concrete = re.compile(r"[0-9a-f]{8}-|/\d+$")
    named = {each for each in documented_routes() if not concrete.search(each)}
    assert named - routes(app) == set()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "PUT"])
def test_every_answer_has_an_id_and_the_safety_headers(app, method):
    client = app.test_client()
    places = {
        "session_id": MISSING_ID,
        "message_id": 1,
        "external_id": "x",
        "name": "x",
        "filename": "x",
    }
    urls = [path_of(rule).format(**places) for _, rule in rules(app)]
    for url in [*urls, "/nope", "/docs/assets/swagger-ui.css", "/static/docs.js"]:
        with client.open(url, method=method, buffered=True) as response:
            assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"]), url
            for name, value in SAFETY_HEADERS.items():
                assert value in response.headers[name], (url, name)


def test_no_route_of_the_api_redirects(app):
    client = app.test_client()
    chat = client.post(SESSIONS, json={}).json
    places = {"session_id": chat["id"], "message_id": 1, "external_id": "x"}
    for route, rule in rules(app):
        if not route.startswith("GET /api/"):
            continue
        url = path_of(rule).format(**places)
        one, other = client.get(url), client.get(f"{url}/")
        assert one.status_code == other.status_code, route
        assert one.status_code in (200, 404, 422), route


def test_every_route_knows_only_the_parameters_it_declares(app):
    client = app.test_client()
    places = {"session_id": MISSING_ID, "message_id": 1, "external_id": "x"}
    bodies = {"POST": {}, "PATCH": {}, "PUT": {}}
    for route, rule in rules(app):
        method, path = route.split(" ", 1)
        if not path.startswith("/api/"):
            continue
        url = f"{path_of(rule).format(**places)}?no_such_parameter=1"
        response = client.open(url, method=method, json=bodies.get(method))
        assert response.status_code == 422, route
