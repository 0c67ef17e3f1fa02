"""Lets pages of listed origins use the API (CORS). By default no origin is listed.

Flask-CORS writes the headers. A preflight is answered before any other check but that
of the host name, because browsers send it without a login.
"""

import re

from flask import Flask, Response, request
from flask_cors import CORS

from chatstore.settings import Settings

_API = r"/api/.*"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match"),
    *("If-None-Match", "X-Chatstore-Owner", "X-Request-Id"),
)
_ANSWER_HEADERS = (
    *("ETag", "Idempotency-Replayed", "Location", "Retry-After", "X-Request-Id"),
)
_PREFLIGHT_SECONDS = 600


def init_cors(app: Flask, settings: Settings) -> None:
    """Add the headers of CORS to the answers of the API to listed origins."""
    if not settings.allowed_origins:
        return
    app.before_request(_answer_preflight)
    # Flask-CORS treats a text with a bracket, such as an IPv6 address, as a regular
    # expression that may match a prefix only. So we give it one that is anchored.
    names = "|".join(re.escape(each) for each in settings.allowed_origins)
    CORS(
        app,
        resources=_API,
        origins=re.compile(rf"(?:{names})\Z"),
        methods=_METHODS,
        allow_headers=_REQUEST_HEADERS,
        expose_headers=_ANSWER_HEADERS,
        supports_credentials=True,
        max_age=_PREFLIGHT_SECONDS,
        always_send=False,
        automatic_options=False,
    )


def _answer_preflight() -> Response | None:
    is_preflight = (
        request.method == "OPTIONS"
        and "HTTP_ORIGIN" in request.environ
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.environ
    )
    return Response(status=204) if is_preflight else None
