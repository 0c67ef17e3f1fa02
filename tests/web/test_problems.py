import pytest
from flask import Flask, abort, redirect, request
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import MethodNotAllowed

from chatstore.errors import (
    DatabaseUnavailable,
    Flaw,
    NotFound,
    OutcomeUnknown,
    ValidationFailed,
)
from chatstore.web.observe import init_observation
from chatstore.web.problems import init_problems
from tests.support import assert_problem

PREFIX = "urn:chatstore:problem:"


@pytest.fixture
def answer():
    """Answer a request with the view `work`, in an application without a database."""
    app = Flask("tests")
    app.config["MAX_CONTENT_LENGTH"] = 1000
    init_observation(app)
    init_problems(app)

    def answer(work, **options):
        app.add_url_rule("/", "view", work, methods=["GET", "POST"])
        return app.test_client().open("/", **options)

    return answer


def raising(error):
    def work():
        raise error

    return work


def test_an_error_of_ours_says_what_it_is(answer):
    response = answer(raising(NotFound("There is no session 1.")))
    assert assert_problem(response, 404) == {
        "type": f"{PREFIX}not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no session 1.",
        "request_id": response.headers["X-Request-Id"],
    }


def test_flaws_are_listed(answer):
    flaws = [Flaw("/a", "Missing."), Flaw("", "Not an object.")]
    response = answer(raising(ValidationFailed(flaws)))
    assert assert_problem(response, 422) == {
        "type": f"{PREFIX}validation-failed",
        "title": "Validation failed",
        "status": 422,
        "detail": "The request is not valid: see /a, the body.",
        "request_id": response.headers["X-Request-Id"],
        "errors": [
            {"pointer": "/a", "detail": "Missing."},
            {"pointer": "", "detail": "Not an object."},
        ],
    }


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (DatabaseUnavailable("It is away."), "database-unavailable"),
        (OutcomeUnknown("Nobody knows."), "outcome-unknown"),
        (OperationalError("SELECT 1", {}, Exception("x")), "database-unavailable"),
    ],
)
def test_an_unavailable_database_says_when_to_come_back(answer, error, slug):
    response = answer(raising(error))
    assert assert_problem(response, 503)["type"] == f"{PREFIX}{slug}"
    assert response.headers["Retry-After"] == "2"


def test_an_unforeseen_error_says_where_to_look(answer):
    response = answer(raising(ZeroDivisionError("by zero")))
    assert assert_problem(response, 500) == {
        "type": f"{PREFIX}internal-error",
        "title": "Internal error",
        "status": 500,
        "detail": "The server failed. Its log has the error under this request_id.",
        "request_id": response.headers["X-Request-Id"],
    }


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (400, "malformed-request"),
        (403, "forbidden"),
        (404, "not-found"),
        (409, "conflict"),
        (411, "length-required"),
    ],
)
def test_an_aborted_request_gets_a_problem(answer, status, slug):
    response = answer(lambda: abort(status))
    assert assert_problem(response, status)["type"] == f"{PREFIX}{slug}"


def test_headers_of_an_http_error_are_kept(answer):
    response = answer(raising(MethodNotAllowed(["GET", "HEAD"])))
    assert_problem(response, 405, detail="This path does not allow GET")
    assert response.headers["Allow"] == "GET, HEAD"


def test_a_redirect_is_none(answer):
    response = answer(lambda: abort(redirect("/elsewhere")))
    assert response.status_code == 302
    assert response.headers["Location"] == "/elsewhere"


def test_a_body_that_is_too_large_is_told_the_limit(answer):
    response = answer(lambda: request.get_data(), method="POST", data=b"x" * 1001)
    assert_problem(response, 413, detail=r"1000 bytes \(CHATSTORE_MAX_BODY_BYTES\)")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
