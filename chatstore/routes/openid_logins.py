"""The pages by which a browser signs in at an OpenID provider; they need no scripts."""

from flask import Blueprint, abort, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from chatstore.access.jwt_tokens import Identity
from chatstore.access.secret_tokens import SecretToken
from chatstore.app_state import get_from_app
from chatstore.db import run_write
from chatstore.enums import AuditAction
from chatstore.errors import (
    ChatstoreError,
    InsufficientScope,
    ProviderUnavailable,
    TokenKeysUnavailable,
    TooManyFailedLogins,
    Unauthorized,
)
from chatstore.store import logins
from chatstore.web.audit import note_act
from chatstore.web.auth import Caller
from chatstore.web.auth.cookies import read_cookie, set_cookie
from chatstore.web.auth.openid import OpenIdProvider
from chatstore.web.auth.openid_attempts import (
    delete_attempt_cookie,
    new_attempt,
    read_attempt,
    set_attempt_cookie,
)
from chatstore.web.login_pages import (
    local_path,
    logged_in_page,
    login_lifetime,
    refused_login_page,
)
from chatstore.web.observe import forbid_storing
from chatstore.web.rate_limits import limit_failed_logins

bp = Blueprint("openid_logins", __name__)

_REFUSALS: dict[type[ChatstoreError], str] = {
    Unauthorized: "You could not be signed in. Please try again.",
    InsufficientScope: "Your account may not use chatstore. Ask who runs it.",
    TooManyFailedLogins: "Signing in has failed too often. Wait a minute.",
    ProviderUnavailable: "The provider cannot be reached now. Try again in a minute.",
    TokenKeysUnavailable: "The provider cannot be reached now. Try again in a minute.",
}


@bp.before_request
def check_provider() -> None:
    """Answer 404 unless there is a provider."""
    if not current_app.config["CHATSTORE"].openid_issuer:
        abort(404)
    forbid_storing()


@bp.get("/login/openid")
def start() -> BaseResponse:
    """Send the browser to the provider, and note for the way back what to expect."""
    next_path = local_path(request.args.get("next", "/"))
    attempt = new_attempt(redirect_uri=_redirect_uri(), next_path=next_path)
    try:
        url = get_from_app(OpenIdProvider).authorization_url(attempt)
    except ProviderUnavailable as error:
        return _refusal(error, next_path)
    answer = redirect(url, 302)
    set_attempt_cookie(answer, attempt)
    return answer


@bp.get("/login/openid/callback")
def finish() -> BaseResponse:
    """Log the browser in as the owner whom the provider names."""
    next_path = "/"
    try:
        attempt = read_attempt(request.args.get("state", ""))
        next_path = attempt.next_path
        if "error" in request.args:
            raise Unauthorized("The provider let nobody in.", is_refused=False)
        identity = get_from_app(OpenIdProvider).identify(
            attempt, request.args.get("code", ""), issuer=request.args.get("iss")
        )
        g.caller = Caller(
            owner_id=identity.owner_id,
            scopes=identity.scopes,
            actor=f"openid {identity.owner_id}",
        )
        text = run_write(_create_login, identity, replaced=read_cookie())
    except tuple(_REFUSALS) as error:
        answer = _counted_refusal(error, next_path)
    else:
        answer = logged_in_page(next_path)
        set_cookie(answer, text, lifetime=login_lifetime())
    # An attempt ends with its first answer.
    delete_attempt_cookie(answer)
    return answer


def _redirect_uri() -> str:
    # `web.hosts` has checked the host of the request.
    given: str = current_app.config["CHATSTORE"].openid_redirect_uri
    return given or url_for("openid_logins.finish", _external=True)


def _create_login(identity: Identity, *, replaced: SecretToken | None) -> str:
    text, login = logins.create_login_without_key(
        identity.owner_id,
        identity.scopes[-1],
        lifetime=login_lifetime(),
        replaced=replaced,
    )
    note_act(AuditAction.LOGGED_IN, target=login.id)
    return text


def _counted_refusal(error: ChatstoreError, next_path: str) -> BaseResponse:
    if isinstance(error, Unauthorized) and error.is_refused:
        try:
            limit_failed_logins()
        except TooManyFailedLogins as too_many:
            error = too_many
    return _refusal(error, next_path)


def _refusal(error: ChatstoreError, next_path: str) -> BaseResponse:
    return refused_login_page(
        error, next_path=next_path, refusal=_REFUSALS[type(error)]
    )
