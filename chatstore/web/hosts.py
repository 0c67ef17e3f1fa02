"""Refuses requests for other host names, and changes sent by pages of other sites.

A web page can point its own name at 127.0.0.1 (DNS rebinding) and read the answers.
It can also send requests to any address without reading the answers (CSRF).
"""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, request

from chatstore.errors import CrossSiteRequest, MalformedRequest, MisdirectedRequest
from chatstore.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_AUTHORITY = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?"
)
_MAX_AUTHORITY_LENGTH = 300  # a name has 255 characters at most
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Sec-Fetch-Site of requests by our own pages, and by the user ("none").
_OWN_SITES = frozenset({"same-origin", "none"})
_OTHER_SITE = (
    "A page of another site sent this request. Only pages of this server, and programs,"
    " may change data."
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def init_hosts(app: Flask, settings: Settings) -> None:
    """Refuse foreign host names and cross-site changes in every request of `app`.

    The check runs before every route, and before a 404.
    """
    allowed_origins = frozenset(settings.allowed_origins)
    # Most requests have the same Host, so we cache the answer for each name.
    is_ours = lru_cache(maxsize=256)(partial(_is_ours, _own_names(settings)))

    @app.before_request
    def check_host_and_site() -> None:
        environ = request.environ
        _check_host(environ, is_ours)
        if environ["REQUEST_METHOD"] not in _SAFE_METHODS:
            _check_site(environ, allowed_origins)


def require_own_page() -> None:
    """Refuse a request that changes something unless our own page has sent it.

    A browser adds its cookie to any request, so a cookie alone proves nothing. Raises
    CrossSiteRequest, also for origins that CORS allows and if nothing names the sender.
    """
    environ = request.environ
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None:
        is_own = site == "same-origin"
    else:  # an older browser, or plain HTTP
        is_own = origin is not None and _is_same_origin(
            origin, environ.get("HTTP_HOST", "")
        )
    if not is_own:
        raise CrossSiteRequest(_OTHER_SITE)


def is_plain_loopback() -> bool:
    """Whether a browser on the server's own machine asks, without TLS."""
    if request.environ["wsgi.url_scheme"] != "http":
        return False
    name, _ = _split_authority(request.environ.get("HTTP_HOST", ""))
    return name is not None and _is_loopback(name)


def _own_names(settings: Settings) -> tuple[str, ...]:
    bound = "" if settings.bind.startswith("unix:") else settings.bind
    name, _ = _split_authority(bound)
    return (*settings.allowed_host_names, *([name] if name else ()))


def _check_host(environ: "WSGIEnvironment", is_ours: Callable[[str], bool]) -> None:
    for authority in _authorities(environ):
        if len(authority) > _MAX_AUTHORITY_LENGTH or not (
            is_ours(authority) or _is_local_address(environ, authority)
        ):
            raise MisdirectedRequest(
                "This server does not answer to the name in the Host header. If it"
                " should, list the name in CHATSTORE_ALLOWED_HOSTS."
            )


def _authorities(environ: "WSGIEnvironment") -> list[str]:
    """Return every authority (name and port) by which the request calls the server."""
    host = environ.get("HTTP_HOST")
    # A page that has rebound its name can send any X-Forwarded-Host to a server that
    # trusts this header, so we check the original Host too.
    original_host = environ.get("werkzeug.proxy_fix.orig", {}).get("HTTP_HOST", host)
    if original_host is None and environ.get("SERVER_PROTOCOL") != "HTTP/1.0":
        raise MalformedRequest("The request has no Host header.")
    # HTTP/1.0 clients may omit Host, but browsers never do.
    names = [each for each in (host, original_host) if each is not None]
    if not environ.get("RAW_URI", "/").startswith("/"):
        names += _target_authorities(environ["RAW_URI"])
    return names


def _target_authorities(uri: str) -> list[str]:
    # In the absolute form, the target's authority overrules Host (RFC 9112, 3.2.2).
    if uri == "*":
        return []
    try:
        return [urlsplit(uri).netloc]
    except ValueError:
        return [""]


def _is_ours(own_names: tuple[str, ...], authority: str) -> bool:
    name, _ = _split_authority(authority)
    if name is None:
        return False
    if "*" in own_names or _is_loopback(name):
        return True
    return any(
        name == each or (each.startswith(".") and f".{name}".endswith(each))
        for each in own_names
    )


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _parse_address(name)
    return address is not None and address.is_loopback


def _is_local_address(environ: "WSGIEnvironment", authority: str) -> bool:
    """Whether the name is the address that the connection came to.

    Health checks know no name, and a server bound to all addresses has many, so we
    accept each of them. DNS rebinding needs a name, so an address is safe.
    """
    name, _ = _split_authority(authority)
    connection = environ.get("gunicorn.socket")
    if name is None or connection is None or _parse_address(name) is None:
        return False
    local = connection.getsockname()
    return isinstance(local, tuple) and _parse_address(name) == _parse_address(local[0])


def _check_site(environ: "WSGIEnvironment", allowed_origins: frozenset[str]) -> None:
    if environ.get("HTTP_ORIGIN") in allowed_origins:
        return
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        is_own = site in _OWN_SITES
    else:  # an older browser, or plain HTTP; a program sends no Origin
        origin = environ.get("HTTP_ORIGIN")
        is_own = origin is None or _is_same_origin(origin, environ.get("HTTP_HOST", ""))
    if not is_own:
        raise CrossSiteRequest(_OTHER_SITE)


def _is_same_origin(origin: str, host: str) -> bool:
    """Whether `origin` has the name and port of `host`; false for "null"."""
    scheme, _, authority = origin.partition("://")
    name, port = _split_authority(authority)
    own_name, own_port = _split_authority(host)
    default = _DEFAULT_PORTS.get(scheme)
    if default is None or name is None or name != own_name:
        return False
    # nginx and other proxies may drop the port from Host, so a missing port matches.
    return own_port is None or (own_port or default) == (port or default)


def _split_authority(authority: str) -> tuple[str | None, str | None]:
    """Return name and port; the name is None if `authority` is invalid."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or int(match["port"] or 0) > 65535:
        return None, None
    name = match["name"].lower()
    if name.startswith("["):
        name = name[1:-1]
        return (name if _parse_address(name) else None), match["port"]
    return name.removesuffix(".") or None, match["port"]


def _parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
