"""Rules for every route, present and future."""

import re

import pytest

from chatstore.web.auth import identify_caller
from tests.support import MISSING_ID, ROOT, SESSIONS

API_DOC = ROOT / "docs" / "api.md"
# Routes without authentication, because they return nobody's data. Those of logins
# check a key or a cookie themselves.
PUBLIC = {
    "GET /",
    "GET /docs",
    "GET /docs/assets/{name}",
    "GET /healthz",
    "GET /login",
    "GET /login/openid",
    "GET /login/openid/callback",
    "POST /login",
    "POST /logout",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "GET /static/{filename}",
    # The pages of the web UI are the same for everybody; scripts read the data.
    "GET /archived",
    "GET /s/{session_id}",
    "GET /search",
    "GET /settings",
    "GET /shared/{token}",
    "GET /trash",
    "GET /usage",
}
# Routes of the API that a token in the path opens, to whoever has it.
OPENED_BY_TOKEN = {"GET /api/v1/shared/{token}"}
# Values for the parameters of paths.
PLACES = {
    "session_id": MISSING_ID,
    "message_id": 1,
    "external_id": "x",
    "share_id": "x" * 12,
    "key_id": "0" * 12,
    "token": "x",
    "name": "x",
    "filename": "x",
}
# Files that pages load; the docs describe the pages instead.
ASSETS = {"GET /docs/assets/{name}", "GET /static/{filename}"}
SAFETY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=()",
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
        is_open = route in PUBLIC | OPENED_BY_TOKEN
        assert (identify_caller in before) != is_open, route


def test_every_public_route_is_there_and_outside_the_api(app):
    assert routes(app) >= PUBLIC | OPENED_BY_TOKEN
    assert not any("/api/" in route for route in PUBLIC)


def test_every_route_is_documented(app):
    assert routes(app) - ASSETS - documented_routes() == set()


def test_every_documented_route_is_there(app):
    concrete = re.compile(r"[0-9a-f]{8}-|/\d+$")
    named = {each for each in documented_routes() if not concrete.search(each)}
    assert named - routes(app) == set()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PATCH", "PUT"])
def test_every_answer_has_an_id_and_the_safety_headers(app, method):
    client = app.test_client()
    urls = [path_of(rule).format(**PLACES) for _, rule in rules(app)]
    for url in [*urls, "/nope", "/docs/assets/swagger-ui.css", "/static/docs.js"]:
        with client.open(url, method=method, buffered=True) as response:
            assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"]), url
            for name, value in SAFETY_HEADERS.items():
                assert value in response.headers[name], (url, name)
            policy = response.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy


def test_no_route_of_the_api_redirects(app):
    client = app.test_client()
    chat = client.post(SESSIONS, json={}).json
    places = PLACES | {"session_id": chat["id"]}
    for route, rule in rules(app):
        if not route.startswith("GET /api/"):
            continue
        url = path_of(rule).format(**places)
        one, other = client.get(url), client.get(f"{url}/")
        assert one.status_code == other.status_code, route
        assert one.status_code in (200, 404, 422), route


def test_every_route_knows_only_the_parameters_it_declares(app):
    client = app.test_client()
    bodies = {"POST": {}, "PATCH": {}, "PUT": {}}
    for route, rule in rules(app):
        method, path = route.split(" ", 1)
        if not path.startswith("/api/"):
            continue
        url = f"{path_of(rule).format(**PLACES)}?no_such_parameter=1"
        response = client.open(url, method=method, json=bodies.get(method))
        assert response.status_code == 422, route
