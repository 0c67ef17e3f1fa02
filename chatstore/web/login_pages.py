"""The pages of a login, for the routes that log a browser in."""

import re
from datetime import timedelta

from flask import Response, current_app, make_response, render_template, request

from chatstore.enums import AuthMode
from chatstore.errors import ChatstoreError
from chatstore.web.hosts import is_plain_loopback
from chatstore.web.problems import answer_error

# A path of this server. Browsers read //x and /\x as the host x, and skip tabs.
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_KEPT_HEADERS = ("WWW-Authenticate", "Retry-After")


def login_page(
    *, next_path: str, owner_id: str | None = None, refusal: str | None = None
) -> Response:
    """Return the page to log in, or out; `refusal` is a sentence for the user.

    `owner_id` is the owner who is logged in. The page runs no query.
    """
    settings = current_app.config["CHATSTORE"]
    return _page(
        "login.html",
        next_path=next_path,
        refusal=refusal,
        owner_id=owner_id,
        # A proxy may not say that the browser uses HTTPS, so the page says "if".
        may_be_plain=not (request.is_secure or is_plain_loopback()),
        has_keys=AuthMode.API_KEY in settings.auth_modes,
        provider=settings.openid_name if settings.openid_issuer else None,
    )


def refused_login_page(
    error: ChatstoreError, *, next_path: str, refusal: str
) -> Response:
    """Answer as the API does, with the page in place of the problem."""
    page = login_page(next_path=next_path, refusal=refusal)
    page.status_code = error.status
    headers = answer_error(error).headers
    page.headers.extend(
        (name, value) for name in _KEPT_HEADERS for value in headers.getlist(name)
    )
    return page


def logged_in_page(next_path: str) -> Response:
    """Return a page that leads the browser on to `next_path`.

    The browser sends a `Strict` cookie only to links of our own pages, and a redirect
    would still count as a link of the provider's page.
    """
    return _page("logged_in.html", next_path=next_path)


def local_path(text: str) -> str:
    """Return `text` if it is a path of this server, else `/`."""
    return text if _LOCAL_PATH.fullmatch(text) else "/"


def login_lifetime() -> timedelta:
    """Return how long a login lasts."""
    return timedelta(days=current_app.config["CHATSTORE"].login_days)


def _page(template: str, **values: object) -> Response:
    page = make_response(render_template(template, **values))
    page.headers["Content-Security-Policy"] = _POLICY
    return page
