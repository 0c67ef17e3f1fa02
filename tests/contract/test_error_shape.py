"""Every error is a complete problem, wherever it arises."""

import re

import pytest
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError
from werkzeug.exceptions import ImATeapot, TooManyRequests

from chatstore.app import create_app
from chatstore.errors import (
    ChatstoreError,
    DatabaseUnavailable,
    Flaw,
    MalformedRequest,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    UnsupportedMediaType,
    ValidationFailed,
    WrongRevision,
)
from tests.support import (
    API,
    JSON,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    make_settings,
    messages_url,
    session_url,
)
from tests.support.breakage import refuse_tools

SECRET = "a driver's secret"
# Text that a stack trace, a driver or a query would leak into a response.
INSIDES = re.compile(
    r"Traceback|File \"|\.py|sqlalchemy|sqlite3|psycopg|SELECT|INSERT|UPDATE|secret",
    re.IGNORECASE,
)

# Errors raised in a view, and the status of the response.
RAISED = [
    (ChatstoreError("Something of ours."), 500),
    (MalformedRequest("It cannot be read."), 400),
    (NotFound("It is not here."), 404),
    (PreconditionFailed("It changed."), 412),
    (UnsupportedMediaType("Not JSON."), 415),
    (ValidationFailed([Flaw("/a", "Wrong.")]), 422),
    (DatabaseUnavailable("It cannot be asked."), 503),
    (OutcomeUnknown("Nobody can say."), 503),
    (WrongRevision("It needs migrating."), 503),
    (OperationalError(f"SELECT {SECRET}", {}, Exception(SECRET)), 503),
    (InterfaceError(f"SELECT {SECRET}", {}, Exception(SECRET)), 503),
    (TimeoutError(SECRET), 503),
    (ValueError(SECRET), 500),
    (KeyError(SECRET), 500),
    (RecursionError(SECRET), 500),
    (MemoryError(SECRET), 500),
    (AssertionError(SECRET), 500),
    (ImATeapot(), 418),
    (TooManyRequests(retry_after=7), 429),
]


@pytest.fixture
def offline(tmp_path):
    """An application whose tested requests need no database."""
    return create_app(make_settings(f"sqlite:///{tmp_path}/unused.db"))


@pytest.mark.parametrize(
    ("error", "status"), RAISED, ids=[type(error).__name__ for error, _ in RAISED]
)
def test_whatever_is_raised_is_answered_with_a_problem(offline, error, status):
    def fail():
        raise error

    for path in ("/page", f"{API}/view"):
        offline.add_url_rule(path, path.strip("/"), fail)
    client = offline.test_client()
    for path in ("/page", f"{API}/view"):
        response = client.get(path)
        assert_problem(response, status)
        assert not INSIDES.search(response.text), response.text


def test_headers_of_an_http_error_are_kept(offline):
    def fail():
        raise TooManyRequests(retry_after=7)

    offline.add_url_rule("/fail", "fail", fail)
    response = offline.test_client().get("/fail")
    assert_problem(response, 429)
    assert response.headers["Retry-After"] == "7"


def test_a_type_has_one_title(alice):
    titles = {}
    for response in (
        alice.get("/nope"),
        alice.get(session_url({"id": MISSING_ID})),
        alice.post(SESSIONS, data=b"x", headers=JSON),
        alice.get(f"{SESSIONS}?cursor=x"),
        alice.get(f"{SESSIONS}?limit=0"),
        alice.put(SESSIONS),
    ):
        problem = assert_problem(response, response.status_code)
        titles.setdefault(problem["type"], set()).add(problem["title"])
    assert all(len(each) == 1 for each in titles.values()), titles


@pytest.mark.parametrize(
    ("method", "path", "request_", "status"),
    [
        ("GET", "/nope", {}, 404),
        ("GET", "/static/nope.js", {}, 404),
        ("GET", "/docs/assets/nope.js", {}, 404),
        ("GET", f"{API}/nope", {}, 404),
        ("POST", "/", {}, 405),
        ("POST", "/docs", {}, 405),
        ("POST", "/openapi.json", {}, 405),
        ("PUT", SESSIONS, {}, 405),
        ("POST", SESSIONS, {"data": b"x"}, 415),
        ("POST", SESSIONS, {"data": b"x", "headers": JSON}, 400),
        ("POST", SESSIONS, {"data": b" " * 9_000_000, "headers": JSON}, 413),
        ("POST", SESSIONS, {"json": []}, 422),
    ],
)
def test_an_error_of_the_request_is_a_problem(alice, method, path, request_, status):
    response = alice.open(path, method=method, **request_)
    assert_problem(response, status)
    assert not INSIDES.search(response.text.replace(path, "")), response.text


def test_head_of_an_error_has_its_headers_only(alice):
    response = alice.head("/nope")
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.headers["X-Request-Id"]
    assert response.data == b""


def test_a_message_that_the_database_refuses_is_a_500(alice, app, make_session):
    chat = make_session(messages=1)
    refuse_tools(app)
    body = {"content": "hidden words", "role": "tool"}
    response = alice.post(messages_url(chat), json=body)
    assert_problem(response, 500, detail="Its log has the error")
    assert not INSIDES.search(response.text), response.text
    assert alice.get(session_url(chat)).json["message_count"] == 1
    assert len(alice.get(messages_url(chat)).json["messages"]) == 1
