"""Finds the caller of a request by the cookie of its browser's login."""

from datetime import timedelta

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from chatstore import clock
from chatstore.access.key_uses import LoginUses
from chatstore.access.secret_tokens import LOGIN_PREFIX, SecretToken, parse_token
from chatstore.db import run_read
from chatstore.enums import Scope
from chatstore.errors import Unauthorized
from chatstore.store import logins
from chatstore.web.auth.callers import SAFE_METHODS, Caller
from chatstore.web.auth.known_tokens import KnownToken, KnownTokens
from chatstore.web.hosts import is_plain_loopback, require_own_page
from chatstore.web.observe import forbid_storing

# Browsers let only HTTPS set a cookie with this prefix, and send it to one host only.
_NAME = "__Host-chatstore"
_LOOPBACK_NAME = "chatstore"
# The worker writes uses once a minute, so we need not note them more often.
_NOTED_EVERY = timedelta(minutes=1)


class Logins:
    """The logins that a process has seen lately; safe for all threads."""

    def __init__(self, uses: LoginUses, *, idle: timedelta) -> None:
        self._uses = uses
        self._idle = idle
        self._known = KnownTokens(LOGIN_PREFIX, self._read, self._note)

    def caller(self) -> Caller | None:
        """Return the owner of the request's login, or None if it has no cookie.

        A request with the header Authorization has none. Raises CrossSiteRequest for a
        change that none of our pages sent. The answer must not be stored: after the
        logout, the next user of the browser could see it.
        """
        if "HTTP_AUTHORIZATION" in request.environ:
            return None
        text = cookie_text()
        if not text.startswith(LOGIN_PREFIX):
            return None
        forbid_storing()
        if request.method not in SAFE_METHODS:
            require_own_page()
        known = self.find(text)
        if known is None:
            raise Unauthorized(
                "This login has ended. Log in again at /login, or send a key in the"
                " header Authorization: Bearer."
            )
        return known.caller

    def find(self, text: str) -> KnownToken | None:
        """Return what is known of a login; None if it has ended."""
        return self._known.find(text)

    def forget(self, token: SecretToken) -> None:
        """Make the next request with this login read it."""
        self._known.forget(token.id)

    def _note(self, known: KnownToken) -> None:
        now = clock.utc_now()
        if known.last_seen_at and now - known.last_seen_at >= _NOTED_EVERY:
            self._uses.note(known.id, now)

    def _read(self, login_id: str) -> KnownToken | None:
        login = run_read(logins.find_valid_login, login_id, idle=self._idle)
        if login is None:
            return None
        return KnownToken(
            id=login.id,
            sha256=login.sha256,
            caller=Caller(
                owner_id=login.owner_id,
                scopes=Scope(login.scope).included,
                actor=f"login {login.id}",
            ),
            expires_at=login.expires_at,
            last_seen_at=login.last_seen_at,
        )


def cookie_text() -> str:
    """Return the request's cookie; empty without one."""
    # On loopback, other servers of the machine may set a cookie with our name.
    return request.cookies.get(_cookie_name(), "")


def read_cookie() -> SecretToken | None:
    """Return the login that the request's cookie names; None if it names none."""
    return parse_token(LOGIN_PREFIX, cookie_text())


def set_cookie(response: BaseResponse, text: str, *, lifetime: timedelta) -> None:
    """Let the browser keep the token of a login."""
    response.set_cookie(
        _cookie_name(),
        text,
        max_age=lifetime,
        secure=not is_plain_loopback(),
        httponly=True,
        samesite="Strict",
    )


def delete_cookie(response: BaseResponse) -> None:
    """Let the browser forget its login."""
    response.delete_cookie(
        _cookie_name(),
        secure=not is_plain_loopback(),
        httponly=True,
        samesite="Strict",
    )


def _cookie_name() -> str:
    return _LOOPBACK_NAME if is_plain_loopback() else _NAME
