"""The pages by which a browser logs in and out; they work without scripts."""

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    g,
    redirect,
    request,
    url_for,
)
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as BaseResponse

from chatstore.access.secret_tokens import SecretToken
from chatstore.app_state import get_from_app
from chatstore.db import run_write
from chatstore.enums import AuditAction, AuthMode
from chatstore.errors import (
    MalformedRequest,
    TooManyFailedLogins,
    TooManyRequests,
    Unauthorized,
)
from chatstore.store import logins
from chatstore.web.audit import note_act
from chatstore.web.auth.api_keys import KeyRing
from chatstore.web.auth.callers import Authenticator
from chatstore.web.auth.cookies import (
    Logins,
    cookie_text,
    delete_cookie,
    read_cookie,
    set_cookie,
)
from chatstore.web.auth.known_tokens import KnownToken
from chatstore.web.hosts import require_own_page
from chatstore.web.login_pages import (
    local_path,
    login_lifetime,
    login_page,
    refused_login_page,
)
from chatstore.web.observe import forbid_storing
from chatstore.web.problems import answer_error
from chatstore.web.rate_limits import limit_failed_logins, limit_logins

bp = Blueprint("logins", __name__)

_MAX_FORM_BYTES = 16 * 1024
_REFUSAL = "This key was not accepted: it is wrong, revoked or expired."


@bp.before_request
def check_page() -> None:
    """Answer 404 unless a browser can log in, and refuse forms of others.

    Another site could otherwise log a user in to its own account, or out.
    """
    if not current_app.config["CHATSTORE"].has_browser_logins:
        abort(404)
    forbid_storing()
    if request.method == "POST":
        require_own_page()
        request.max_content_length = _MAX_FORM_BYTES
        try:
            _ = request.form
        except RequestEntityTooLarge:
            raise MalformedRequest(
                f"The form is larger than {_MAX_FORM_BYTES} bytes."
            ) from None


@bp.get("/login")
def show_login() -> Response:
    """Return the page to log in, or out."""
    known = _find_login()
    return login_page(
        next_path=local_path(request.args.get("next", "/")),
        owner_id=known.caller.owner_id if known else None,
    )


@bp.post("/login")
def log_in() -> BaseResponse:
    """Log the browser in with the key of the form, and send it to the path `next`."""
    if AuthMode.API_KEY not in current_app.config["CHATSTORE"].auth_modes:
        abort(404)
    next_path = local_path(request.form.get("next", "/"))
    try:
        text = _log_in_with(request.form.get("key", "").strip())
    except (Unauthorized, TooManyRequests) as error:
        return _refusal(error, next_path)
    answer = redirect(next_path, 303)
    set_cookie(answer, text, lifetime=login_lifetime())
    return answer


@bp.post("/logout")
def log_out() -> BaseResponse:
    """End the login of the browser, and let it forget what it has stored."""
    token = read_cookie()
    if token is not None:
        known = _find_login()
        if known is not None:
            g.caller = known.caller
            run_write(_end_login, token)
        get_from_app(Logins).forget(token)
    answer = redirect(url_for("logins.show_login"), 303)
    delete_cookie(answer)
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


@bp.errorhandler(TooManyRequests)
def answer_too_many(error: TooManyRequests) -> Response:
    """Answer an address over its limit with the page, because a person reads it."""
    if not current_app.config["CHATSTORE"].has_browser_logins:
        return answer_error(error)
    forbid_storing()
    return _refusal(error, local_path(request.args.get("next", "/")))


def _log_in_with(key: str) -> str:
    try:
        known = get_from_app(KeyRing).check(key)
        g.caller = known.caller
        get_from_app(Authenticator).limit(known.caller)
        limit_logins(known.caller.owner_id)
        return run_write(_create_login, known.id, replaced=read_cookie())
    except Unauthorized:
        limit_failed_logins()
        raise


def _create_login(key_id: str, *, replaced: SecretToken | None) -> str:
    text, login = logins.create_login(
        key_id, lifetime=login_lifetime(), replaced=replaced
    )
    note_act(AuditAction.LOGGED_IN, target=login.id)
    return text


def _end_login(token: SecretToken) -> None:
    if logins.delete_login(token):
        note_act(AuditAction.LOGGED_OUT, target=token.id)


def _find_login() -> KnownToken | None:
    """Return the login of the browser; None without one, and over the limit.

    A wrong cookie counts as a failed login, because it costs a query.
    """
    try:
        known = get_from_app(Logins).find(cookie_text())
        if known is None and read_cookie() is not None:
            limit_failed_logins()
    except TooManyFailedLogins:
        return None
    return known


def _refusal(error: Unauthorized | TooManyRequests, next_path: str) -> Response:
    """The page does not show which of a key's parts was wrong, and runs no query."""
    return refused_login_page(error, next_path=next_path, refusal=_words(error))


def _words(error: Unauthorized | TooManyRequests) -> str:
    if isinstance(error, Unauthorized):
        return _REFUSAL
    return (
        f"Too many {error.counted} in a minute. Try again in"
        f" {error.retry_after_seconds} seconds."
    )
