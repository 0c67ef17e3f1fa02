"""What a browser keeps while its user signs in at the OpenID provider.

The cookie ties the provider's answer to the browser that asked, so nobody can log
another user in to an account of their own.
"""

import hmac
import secrets
from dataclasses import astuple, dataclass
from datetime import timedelta

from flask import current_app, request
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.wrappers import Response as BaseResponse

from chatstore import clock
from chatstore.errors import Unauthorized
from chatstore.web.hosts import is_plain_loopback

LIFETIME = timedelta(minutes=10)
_NAME = "__Host-chatstore-openid"
_LOOPBACK_NAME = "chatstore-openid"
_RANDOM_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to sign in."""

    state: str
    nonce: str
    # Of PKCE (RFC 7636). Only this browser and the token request show it.
    verifier: str
    redirect_uri: str
    next_path: str


def new_attempt(*, redirect_uri: str, next_path: str) -> Attempt:
    """Return an attempt that nobody can guess."""
    state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
    return Attempt(
        state=state,
        nonce=nonce,
        verifier=verifier,
        redirect_uri=redirect_uri,
        next_path=next_path,
    )


def set_attempt_cookie(response: BaseResponse, attempt: Attempt) -> None:
    """Let the browser keep the attempt."""
    ends_at = (clock.utc_now() + LIFETIME).timestamp()
    text = _serializer().dumps([ends_at, *astuple(attempt)])
    response.set_cookie(
        _cookie_name(),
        text.decode() if isinstance(text, bytes) else text,
        max_age=LIFETIME,
        secure=not is_plain_loopback(),
        httponly=True,
        # The provider's page sends the browser back, which is a request from another
        # site. With Strict, the browser would not send the cookie.
        samesite="Lax",
    )


def delete_attempt_cookie(response: BaseResponse) -> None:
    """Let the browser forget the attempt."""
    response.delete_cookie(
        _cookie_name(), secure=not is_plain_loopback(), httponly=True, samesite="Lax"
    )


def read_attempt(state: str) -> Attempt:
    """Return the attempt of the request's cookie, which began with `state`.

    Raises Unauthorized.
    """
    try:
        ends_at, *texts = _serializer().loads(request.cookies.get(_cookie_name(), ""))
    except (BadData, ValueError, TypeError):
        raise Unauthorized(
            "This browser has not begun to sign in.", is_refused=False
        ) from None
    if ends_at <= clock.utc_now().timestamp():
        raise Unauthorized("Signing in took too long.", is_refused=False)
    names = ("state", "nonce", "verifier", "redirect_uri", "next_path")
    attempt = Attempt(**dict(zip(names, texts, strict=True)))
    if not hmac.compare_digest(attempt.state.encode(), state.encode(errors="replace")):
        raise Unauthorized("The answer belongs to another attempt to sign in.")
    return attempt


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="openid attempt")


def _cookie_name() -> str:
    return _LOOPBACK_NAME if is_plain_loopback() else _NAME
