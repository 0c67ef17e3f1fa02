"""Chooses the methods of authentication by the setting `auth`."""

from datetime import timedelta

from flask import Flask

from chatstore.access.key_uses import KeyUses, LoginUses
from chatstore.access.owners import LOCAL_OWNER
from chatstore.app_state import add_to_app
from chatstore.db.row_owner import ALL_OWNERS, NO_OWNER, set_row_owner
from chatstore.enums import AuthMode, Scope
from chatstore.settings import Settings
from chatstore.web.auth.acting import ActingLog
from chatstore.web.auth.api_keys import KeyRing
from chatstore.web.auth.callers import Authenticator, Caller, Method
from chatstore.web.auth.cookies import Logins
from chatstore.web.auth.openid import OpenIdProvider
from chatstore.web.auth.proxies import ProxyReader
from chatstore.web.auth.tokens import TokenReader
from chatstore.web.rate_limits import caller_limit

_LOCAL_CALLER = Caller(
    owner_id=LOCAL_OWNER, scopes=Scope.ADMIN.included, actor=LOCAL_OWNER
)


def init_auth(app: Flask, settings: Settings) -> None:
    """Give `app` its authenticator; runs after `init_rate_limits`."""
    uses, login_uses = KeyUses(), LoginUses()
    key_ring = KeyRing(uses)
    logins = Logins(login_uses, idle=timedelta(hours=settings.login_idle_hours))
    for each in (uses, login_uses, key_ring, logins, ActingLog()):
        add_to_app(app, each)
    if settings.openid_issuer:
        add_to_app(app, OpenIdProvider(settings))
    methods: list[Method] = []
    if AuthMode.API_KEY in settings.auth_modes:
        methods.append(key_ring.caller)
    if AuthMode.JWT in settings.auth_modes:
        methods.append(TokenReader(settings).caller)
    if AuthMode.PROXY in settings.auth_modes:
        methods.append(ProxyReader(settings).caller)
    if AuthMode.NONE in settings.auth_modes:
        methods.append(_local_caller)
    # A browser sends its cookie with everything, so any other proof comes first.
    if settings.has_browser_logins:
        methods.append(logins.caller)
    add_to_app(app, Authenticator(methods, caller_limit(app)))
    if settings.row_security:
        # `identify_caller` sets the owner later. A thread serves many owners in turn,
        # so each request resets the owner at its end.
        app.before_request(_show_no_rows)
        app.teardown_request(_end_row_owner)


def _show_no_rows() -> None:
    set_row_owner(NO_OWNER)


def _end_row_owner(error: BaseException | None) -> None:
    set_row_owner(ALL_OWNERS)


def _local_caller() -> Caller:
    return _LOCAL_CALLER
