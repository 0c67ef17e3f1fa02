"""Answers every error in one shape: problem details (RFC 9457).

The slugs of their types are in `chatstore.errors`.
"""

from typing import Any

import orjson
import structlog
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from chatstore.access.failed_logins import FailedLogins
from chatstore.app_state import add_to_app
from chatstore.db.errors import db_error_text, explain_unavailable, is_unavailable
from chatstore.errors import (
    ChatstoreError,
    DatabaseUnavailable,
    MalformedRequest,
    TooManyFailedLogins,
    TooManyRequests,
    Unauthorized,
    ValidationFailed,
)
from chatstore.web.audit import note_failed_login
from chatstore.web.observe import count_database_error

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:chatstore:problem:"

log = structlog.get_logger(__name__)


def init_problems(app: Flask) -> None:
    """Answer every error raised in `app` with problem details."""
    add_to_app(app, FailedLogins())
    app.register_error_handler(ChatstoreError, answer_error)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(Exception, answer_unexpected)


def answer_error(error: ChatstoreError) -> Response:
    """Answer an error that chatstore raised on purpose."""
    members: dict[str, Any] = {}
    if isinstance(error, ValidationFailed):
        members["errors"] = [
            {"pointer": flaw.pointer, "detail": flaw.detail} for flaw in error.flaws
        ]
    for name in ("last_seq", "head_seq", "limit", "used"):
        if hasattr(error, name):
            members[name] = getattr(error, name)
    response = _problem(
        status=error.status,
        slug=error.slug,
        title=error.title,
        detail=error.detail,
        **members,
    )
    if isinstance(error, DatabaseUnavailable):
        cause = db_error_text(error.__cause__) if error.__cause__ else None
        log.warning("database unavailable", detail=error.detail, cause=cause)
        count_database_error(error.slug)
    if isinstance(error, Unauthorized):
        # RFC 6750, section 3: no error code if the request had no credential.
        code = ', error="invalid_token"' if error.is_refused else ""
        response.headers["WWW-Authenticate"] = f'Bearer realm="chatstore"{code}'
        if error.is_refused:
            note_failed_login(error.detail)
    if isinstance(error, TooManyFailedLogins):
        note_failed_login(error.detail)
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == 503:
        response.headers["Retry-After"] = str(DatabaseUnavailable.retry_after_seconds)
    return response


def answer_http_error(error: HTTPException) -> Response:
    """Answer an error of Flask's or Werkzeug's, with the headers it asks for."""
    status = error.code or 500
    if status < 400:  # a redirect
        return Response(error.get_body(), status, error.get_headers())
    detail = error.description or error.name
    if isinstance(error, RequestEntityTooLarge):
        limit = current_app.config["MAX_CONTENT_LENGTH"]
        detail = f"The body is larger than {limit} bytes (CHATSTORE_MAX_BODY_BYTES)."
    elif status == 404:
        detail = "There is nothing at this path."
    elif status == 405:
        detail = f"This path does not allow {request.method}: see the Allow header."
    name = MalformedRequest.title if status == 400 else error.name.capitalize()
    response = _problem(status=status, slug=slug_of(name), title=name, detail=detail)
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def answer_unexpected(error: Exception) -> Response:
    """Log and answer any other error: 503 if the database is away, else 500."""
    if is_unavailable(error):
        unavailable = explain_unavailable(error)
        unavailable.__cause__ = error
        return answer_error(unavailable)
    if hasattr(error, "orig"):  # an error of the database
        count_database_error("unexpected")
    log.error("unexpected error", exc_info=error)
    return _problem(
        status=500,
        slug=ChatstoreError.slug,
        title=ChatstoreError.title,
        detail="The server failed. Its log has the error under this request_id.",
    )


def slug_of(phrase: str) -> str:
    """Return a status phrase as a slug, which ends a problem's type."""
    return phrase.lower().replace(" ", "-").replace("'", "")


def _problem(
    *, status: int, slug: str, title: str, detail: str, **members: Any
) -> Response:
    body = {
        "type": f"{TYPE_PREFIX}{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": g.request_id,
        **members,
    }
    return Response(orjson.dumps(body), status, content_type=MEDIA_TYPE)
