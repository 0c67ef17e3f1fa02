"""Finds the caller of a request by the header of a trusted proxy."""

import threading

import structlog
from flask import request

from chatstore.access.owners import owner_flaw
from chatstore.access.trusted_peers import parse_trusted_peers
from chatstore.clock import Deadline
from chatstore.enums import Scope
from chatstore.errors import Unauthorized
from chatstore.settings import Settings
from chatstore.web.auth.callers import Caller

_LOG_SECONDS = 60.0
_MAX_STRANGERS = 1000

log = structlog.get_logger(__name__)


class ProxyReader:
    """Believes the owner header if the connection comes from a trusted proxy."""

    def __init__(self, settings: Settings) -> None:
        self._header = settings.proxy_owner_header
        self._environ_name = f"HTTP_{self._header.upper().replace('-', '_')}"
        self._peers = parse_trusted_peers(settings.trusted_proxies)
        self._strangers = _Strangers()

    def caller(self) -> Caller | None:
        """Return the owner that the proxy names, or None."""
        header: str = request.environ.get(self._environ_name, "").strip()
        if not header:  # proxies send an empty one without a login
            return None
        peer = _peer()
        if not self._peers.includes(peer):
            if self._strangers.is_due(peer):
                log.warning("owner header ignored", peer=peer, header=self._header)
            return None
        owner_id = self._owner(header)
        return Caller(
            owner_id=owner_id,
            scopes=Scope.WRITE.included,
            actor=f"proxy {owner_id}",
        )

    def _owner(self, header: str) -> str:
        try:
            # WSGI gives the bytes of a header as Latin-1; we take them as UTF-8.
            owner_id = header.encode("latin-1").decode()
        except UnicodeError:
            raise Unauthorized(f"{self._header} is not UTF-8.") from None
        # Repeated headers arrive as one. A proxy that adds its header to that of the
        # client would let the client choose a part of the owner.
        if "," in owner_id:
            raise Unauthorized(f"{self._header} is repeated, or has a comma.")
        if flaw := owner_flaw(owner_id):
            raise Unauthorized(f"{self._header} {flaw}.")
        return owner_id


class _Strangers:
    """Limits log lines to one a minute for each peer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged: dict[str, Deadline] = {}

    def is_due(self, peer: str) -> bool:
        """Whether to log this peer now. With too many peers, some are not logged."""
        with self._lock:
            if len(self._logged) >= _MAX_STRANGERS:
                self._logged = {
                    name: until
                    for name, until in self._logged.items()
                    if not until.is_over
                }
            until = self._logged.get(peer)
            if until is not None and not until.is_over:
                return False
            if until is None and len(self._logged) >= _MAX_STRANGERS:
                return False
            self._logged[peer] = Deadline(_LOG_SECONDS)
            return True


def _peer() -> str:
    """Return the address of the connection; empty on a unix socket.

    `request.remote_addr` may be an address that a proxy has named.
    """
    environ = request.environ
    original = environ.get("werkzeug.proxy_fix.orig", environ)
    return original.get("REMOTE_ADDR") or ""
