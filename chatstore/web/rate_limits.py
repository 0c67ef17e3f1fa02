"""Bounds how many requests a caller or an address may send in a minute.

The headers are those of the IETF's draft-ietf-httpapi-ratelimit-headers-10.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask, Response, after_this_request, request

from chatstore.app_state import add_to_app, get_from_app
from chatstore.enums import AuthMode
from chatstore.errors import TooManyFailedLogins, TooManyRequests
from chatstore.settings import PREFIX, Settings
from chatstore.web.request_counts import (
    WINDOW_SECONDS,
    Counted,
    LocalCounts,
    SharedCounts,
)

# A provider gives each customer at least this many bits of an IPv6 address.
_IPV6_BITS = 64
# Monitors call these routes often, and must always get an answer.
UNLIMITED_BLUEPRINT = "health"


@dataclass(frozen=True)
class Standing:
    """How many requests a key has left, and the seconds until it has all again."""

    remaining: int
    reset_seconds: int
    is_over: bool


class RateLimiter:
    """Counts the requests of each key against the quota of a setting.

    It counts in `shared` while that answers, and in this process otherwise.
    """

    def __init__(
        self,
        setting: str,
        *,
        quota: int,
        max_keys: int = 10_000,
        shared: SharedCounts | None = None,
    ) -> None:
        self.setting, self.quota = setting, quota
        self._local, self._shared = LocalCounts(max_keys), shared

    @property
    def name(self) -> str:
        """The name of the policy in the headers."""
        return self.setting.removeprefix("max_").replace("_", "-")

    def count(self, key: str) -> Standing:
        """Count a request of `key`, and return how many are left."""
        counted = self._shared.add(f"{self.setting} {key}") if self._shared else None
        counted = counted or self._local.add(key)
        return self._standing(counted, is_over=counted.count > self.quota)

    def get(self, key: str) -> Standing:
        """Return how many requests `key` has left; over is a key without any."""
        counted = self._shared.get(f"{self.setting} {key}") if self._shared else None
        counted = counted or self._local.get(key)
        return self._standing(counted, is_over=counted.count >= self.quota)

    def _standing(self, counted: Counted, *, is_over: bool) -> Standing:
        return Standing(
            remaining=max(self.quota - counted.count, 0),
            reset_seconds=counted.reset_seconds,
            is_over=is_over,
        )


@dataclass(frozen=True)
class _RateLimits:
    """The limits of an application; None is no limit."""

    shared_reads: RateLimiter | None
    callers: RateLimiter | None
    addresses: RateLimiter | None
    failed_logins: RateLimiter | None
    logins: RateLimiter | None
    shares: RateLimiter | None


def init_rate_limits(app: Flask, settings: Settings) -> None:
    """Give `app` its limits; raises SettingsError if their storage cannot be used."""
    url = settings.rate_limit_storage
    shared = SharedCounts(url) if url else None

    def limiter(setting: str, *, is_needed: bool = True) -> RateLimiter | None:
        quota = getattr(settings, setting)
        if not quota or not is_needed:
            return None
        return RateLimiter(setting, quota=quota, shared=shared)

    has_logins = AuthMode.NONE not in settings.auth_modes
    limits = _RateLimits(
        shared_reads=limiter("max_shared_reads"),
        callers=limiter("requests_per_minute"),
        addresses=limiter("address_requests_per_minute"),
        failed_logins=limiter("failed_logins_per_minute", is_needed=has_logins),
        logins=limiter("logins_per_minute", is_needed=has_logins),
        shares=limiter("shares_per_minute"),
    )
    add_to_app(app, limits)
    if limits.addresses:
        app.before_request(_limit_address)


def limit_shared_reads() -> None:
    """Count a read by a link for its address; raises TooManyRequests."""
    limiter = get_from_app(_RateLimits).shared_reads
    if limiter:
        _count(limiter, address_key(request.remote_addr))


def limit_logins(owner_id: str) -> None:
    """Count a login of the owner before it is written; raises TooManyRequests."""
    limiter = get_from_app(_RateLimits).logins
    if limiter:
        _answer(limiter, limiter.count(owner_id), TooManyRequests, "logins")


def limit_shares(owner_id: str) -> None:
    """Count a new link of the owner before it is written; raises TooManyRequests."""
    limiter = get_from_app(_RateLimits).shares
    if limiter:
        _answer(limiter, limiter.count(owner_id), TooManyRequests, "new links")


def caller_limit(app: Flask) -> Callable[[str, str], None] | None:
    """Return a function that counts a request of an owner and actor; None if no limit.

    The function raises TooManyRequests. Every request calls it, so we look up the
    limiter here, once.
    """
    limiter = get_from_app(_RateLimits, app).callers
    if limiter is None:
        return None
    return lambda owner_id, actor: _count(limiter, f"{owner_id}\n{actor}")


def limit_failed_logins() -> None:
    """Count a refused credential for its address; raises TooManyFailedLogins.

    Credentials that this process knows as valid are neither counted nor refused.
    """
    limiter = get_from_app(_RateLimits).failed_logins
    if limiter:
        standing = limiter.count(address_key(request.remote_addr))
        _answer(limiter, standing, TooManyFailedLogins, "failed logins")


def require_failed_logins_left() -> None:
    """Raise TooManyFailedLogins for an address that may send no more wrong tokens.

    Runs before a query for a token that may be wrong, so that wrong tokens cost an
    address over its limit no query. Counts nothing.
    """
    limiter = get_from_app(_RateLimits).failed_logins
    if limiter:
        standing = limiter.get(address_key(request.remote_addr))
        if standing.is_over:
            _answer(limiter, standing, TooManyFailedLogins, "failed logins")


def address_key(address: str | None) -> str:
    """Return the part of an address that a client can hardly change.

    Behind a unix socket without a trusted proxy, all clients have the key "".
    """
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip), _IPV6_BITS), strict=False))


def _limit_address() -> None:
    limiter = get_from_app(_RateLimits).addresses
    if limiter and request.blueprint != UNLIMITED_BLUEPRINT:
        _count(limiter, address_key(request.remote_addr))


def _count(limiter: RateLimiter, key: str) -> None:
    _answer(limiter, limiter.count(key), TooManyRequests, "requests")


def _answer(
    limiter: RateLimiter,
    standing: Standing,
    error: type[TooManyRequests],
    counted: str,
) -> None:
    """Add the headers of a limit, and raise the error over it."""
    policy = f'"{limiter.name}";q={limiter.quota};w={WINDOW_SECONDS}'
    left = f'"{limiter.name}";r={standing.remaining};t={standing.reset_seconds}'

    @after_this_request
    def add_headers(response: Response) -> Response:
        # Several limits may count a request; the header lists them all.
        for name, text in (("RateLimit-Policy", policy), ("RateLimit", left)):
            earlier = response.headers.get(name)
            response.headers[name] = f"{earlier}, {text}" if earlier else text
        return response

    if standing.is_over:
        raise error(
            f"More than {limiter.quota} {counted} in a minute"
            f" ({PREFIX}{limiter.setting.upper()}). Try again in"
            f" {standing.reset_seconds} seconds.",
            counted=counted,
            retry_after_seconds=standing.reset_seconds,
        )
