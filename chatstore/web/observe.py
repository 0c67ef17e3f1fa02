"""Gives each request an id, a log line, metrics and security headers.

Every request pays for this code, so it computes once what does not change.
"""

import os
import re
import struct
import time
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import structlog
from flask import Flask, Response, g, request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from chatstore.metrics import registry as _registry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Features that no page of ours uses. The policy turns them off, so an injected script
# cannot use them.
_UNUSED_FEATURES = (
    *("accelerometer", "camera", "clipboard-read", "display-capture"),
    *("geolocation", "gyroscope", "hid", "idle-detection", "local-fonts"),
    *("magnetometer", "microphone", "midi", "payment", "publickey-credentials-get"),
    *("screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
)
# Default headers of every answer, by their names in lower case.
_HEADERS = {
    name.lower(): (name, value)
    for name, value in (
        (
            "Content-Security-Policy",
            "default-src 'none'; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'",
        ),
        # Origins that CORS allows are not stopped by this policy (Fetch, 3.7).
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", ", ".join(f"{name}=()" for name in _UNUSED_FEATURES)),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "private, no-cache"),
    )
}
_NO_STORE = ("Cache-Control", "no-store")
_IS_UNSTORED = "chatstore.is_unstored"
_REQUEST_ID = "chatstore.request_id"
# When a request that has waited was begun; chatstore's server sets it.
_BEGUN = "chatstore.begun"

_METRICS_ATTEMPTS = 10
_METRICS_PAUSE_SECONDS = 0.01

_requests = Counter(
    "chatstore_http_requests",
    "Requests answered",
    ["method", "route", "status"],
    registry=_registry,
)
_seconds = Histogram(
    "chatstore_http_request_duration_seconds",
    "Seconds from the request to the last byte of its answer",
    ["method", "route"],
    registry=_registry,
)
_messages = Counter(
    "chatstore_messages_appended", "Messages committed", registry=_registry
)
_database_errors = Counter(
    "chatstore_database_errors",
    "Requests that failed because of the database",
    ["kind"],
    registry=_registry,
)
_waiting = Gauge(
    "chatstore_waiting_requests",
    "Requests that wait for a change",
    registry=_registry,
    multiprocess_mode="livesum",
)


def init_observation(app: Flask) -> None:
    """Add ids, log lines, metrics and headers to every request of `app`."""
    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[assignment,method-assign]
    app.before_request(_start_request)
    app.after_request(_finish_request)


def forbid_storing() -> None:
    """Forbid browsers and proxies to store the answer of the current request."""
    request.environ[_IS_UNSTORED] = True


def note_appended_messages(count: int) -> None:
    """Note the request's number of appended messages; a 201 then counts them."""
    g.appended_messages = count


def show_waiting_requests(count: int) -> None:
    """Show how many requests of this process wait for a change."""
    _waiting.set(count)


def count_database_error(kind: str) -> None:
    """Count a request that failed because of the database."""
    _database_errors.labels(kind).inc()


def metrics_text() -> bytes:
    """Return the metrics of all worker processes, in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(_registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    for _ in range(_METRICS_ATTEMPTS):
        with suppress(struct.error):  # the file of a starting process is still empty
            return generate_latest(registry)
        time.sleep(_METRICS_PAUSE_SECONDS)
    return generate_latest(registry)


def _with_headers(application: "WSGIApplication") -> "WSGIApplication":
    """Give each request an id, and each answer the default headers.

    This works on the list of WSGI because Werkzeug is slow here: for each header added,
    it scans all others, and it scans each value for line breaks.
    """

    def wrapper(environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        # The id goes into a header and a log line, so we accept only safe characters.
        request_id = given if _USABLE_ID.fullmatch(given) else os.urandom(16).hex()
        environ[_REQUEST_ID] = request_id

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            missing = dict(_HEADERS)
            if _IS_UNSTORED in environ:
                missing["cache-control"] = _NO_STORE
            for name, _ in headers:
                missing.pop(name.lower(), None)
            added = [*missing.values(), ("X-Request-Id", request_id)]
            return start_response(status, [*headers, *added], *rest)

        return application(environ, start)

    return wrapper


def _start_request() -> None:
    g.started = request.environ.get(_BEGUN) or time.perf_counter()
    g.request_id = request.environ[_REQUEST_ID]
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish_request(response: Response) -> Response:
    if response.status_code == 201 and "appended_messages" in g:
        _messages.inc(g.appended_messages)
    started, request_id = g.started, g.request_id
    owner_id = g.caller.owner_id if "caller" in g else None
    method = request.method if request.method in _METHODS else "OTHER"
    rule = request.url_rule.rule if request.url_rule else "unmatched"
    route = rule if rule == "/" else rule.rstrip("/")
    status = response.status_code

    # Werkzeug closes a file that it passes through, but not its response, so `_record`
    # would not run.
    response.direct_passthrough = False

    # This runs after the last byte, even of a stream, when `request` is gone.
    @response.call_on_close
    def _record() -> None:
        seconds = time.perf_counter() - started
        count, timer = _metrics_of(method, route, status)
        count.inc()
        timer.observe(seconds)
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 2),
            owner=owner_id,
            request_id=request_id,
        )
        structlog.contextvars.unbind_contextvars("request_id")

    return response


@lru_cache(maxsize=1024)
def _metrics_of(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return _requests.labels(method, route, status), _seconds.labels(method, route)
