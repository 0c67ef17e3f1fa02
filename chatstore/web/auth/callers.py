"""Who sent the request, and what it may do."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import current_app, g, request

from chatstore.access.owners import owner_flaw
from chatstore.app_state import get_from_app
from chatstore.db import limit_rows_to
from chatstore.enums import Scope
from chatstore.errors import InsufficientScope, MalformedRequest, Unauthorized
from chatstore.web.auth.acting import ActingLog
from chatstore.web.rate_limits import limit_failed_logins

# An administrator acts for the owner that this header names.
OWNER_HEADER = "X-Chatstore-Owner"
_OWNER_ENVIRON_NAME = f"HTTP_{OWNER_HEADER.upper().replace('-', '_')}"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The sender of a request."""

    # Whose sessions the request reads and changes.
    owner_id: str
    scopes: tuple[Scope, ...]
    # Who sent it: the method and an id, such as `key <id>` or `token <owner>`. An owner
    # id alone could imitate another actor in the audit log, such as the command line.
    actor: str


# A method that finds the caller; see the docstring of this package.
Method = Callable[[], Caller | None]


class Authenticator:
    """The methods by which callers prove who they are, in the order of asking."""

    def __init__(
        self,
        methods: list[Method],
        limit_caller: Callable[[str, str], None] | None = None,
    ) -> None:
        self._methods, self._limit_caller = methods, limit_caller

    def caller(self) -> Caller:
        """Return the sender of the current request.

        Raises Unauthorized. Raises TooManyRequests for a caller over its limit, and for
        a refused credential of an address over its limit.
        """
        try:
            caller = self._find_caller()
        except Unauthorized as error:
            if error.is_refused:
                limit_failed_logins()
            raise
        self.limit(caller)
        return caller

    def limit(self, caller: Caller) -> None:
        """Count a request of the caller; raises TooManyRequests.

        All requests of an administrator count together, for whichever owners.
        """
        if self._limit_caller:
            self._limit_caller(caller.owner_id, caller.actor)

    def _find_caller(self) -> Caller:
        for method in self._methods:
            caller = method()
            if caller is not None:
                return caller
        if "HTTP_AUTHORIZATION" in request.environ:
            raise Unauthorized("This server does not take tokens of this kind.")
        raise Unauthorized(
            "This request does not say who sent it. Send a key or a token in the"
            " header Authorization: Bearer.",
            is_refused=False,
        )


def identify_caller() -> None:
    """Set `g.caller`; a blueprint runs this before its views.

    Raises Unauthorized, InsufficientScope for a write with the scope read, and
    TooManyRequests.
    """
    caller = get_from_app(Authenticator).caller()
    if request.method not in SAFE_METHODS:
        _require(caller, Scope.WRITE)
    if _OWNER_ENVIRON_NAME in request.environ:
        caller = _acting_for(caller, request.environ[_OWNER_ENVIRON_NAME])
    g.caller = caller
    if current_app.config["CHATSTORE"].row_security:
        limit_rows_to(caller.owner_id)


def require_admin() -> None:
    """Refuse a caller without scope admin; runs after `identify_caller`."""
    _require(current_caller(), Scope.ADMIN)


def current_owner() -> str:
    """Return the owner that every query of this request is scoped to."""
    return current_caller().owner_id


def current_caller() -> Caller:
    """Return the sender of this request."""
    caller: Caller = g.caller
    return caller


def _require(caller: Caller, scope: Scope) -> None:
    if scope not in caller.scopes:
        raise InsufficientScope(f"This request needs the scope {scope}.")


def _acting_for(caller: Caller, header: str) -> Caller:
    _require(caller, Scope.ADMIN)
    try:
        # WSGI gives the bytes of a header as Latin-1; we take them as UTF-8.
        owner_id = header.encode("latin-1").decode()
    except UnicodeError:
        raise MalformedRequest(f"{OWNER_HEADER} must be UTF-8.") from None
    if flaw := owner_flaw(owner_id):
        raise MalformedRequest(f"{OWNER_HEADER} {flaw}.")
    if owner_id != caller.owner_id:
        get_from_app(ActingLog).note(
            actor=caller.actor,
            owner_id=owner_id,
            method=request.method,
            address=request.remote_addr,
            request_id=g.request_id,
        )
    return replace(caller, owner_id=owner_id)
