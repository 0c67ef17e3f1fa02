"""The client of an OpenID provider: authorization code flow with PKCE; no cookies.

Authlib builds the requests (RFC 6749, RFC 7636). The provider's metadata comes from
OpenID Connect Discovery 1.0.
"""

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client

from chatstore import clock
from chatstore.access.id_tokens import verify_id_token
from chatstore.access.jwt_tokens import Identity, TokenRules
from chatstore.clock import Deadline
from chatstore.errors import ProviderUnavailable, Unauthorized
from chatstore.settings import Settings, is_safe_url
from chatstore.web.auth.bounded_http import Answer, exchange
from chatstore.web.auth.key_sources import KeySource
from chatstore.web.auth.openid_attempts import Attempt

WAIT_SECONDS = 5.0
MAX_BYTES = 256 * 1024
# Users who try again and again cause at most one discovery in this time.
RETRY_SECONDS = 5.0
REFRESH_SECONDS = 3600.0
_MAX_CODE_LENGTH = 4096
_FAILURES = (OSError, ValueError, http.client.HTTPException)
# Errors of the token endpoint that the operator must correct (RFC 6749, section 5.2).
_OUR_MISTAKES = frozenset({"invalid_client", "unauthorized_client", "invalid_scope"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Metadata:
    """What the provider says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    client_auth: str


class OpenIdProvider:
    """The provider of the settings; safe for all threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = TokenRules(
            issuer=settings.openid_issuer,
            audience=settings.openid_client_id,
            leeway_seconds=settings.jwt_leeway_seconds,
            owner_claim=settings.openid_owner_claim,
            scope_claim=settings.openid_scope_claim,
        )
        # A slow provider must not hold every thread of the server.
        self._free = threading.BoundedSemaphore(max(1, settings.threads // 2))
        self._lock = threading.Lock()
        self._metadata: _Metadata | None = None
        self._keys: KeySource | None = None
        self._retry = Deadline(0)
        self._refresh = Deadline(0)

    def authorization_url(self, attempt: Attempt) -> str:
        """Return where the browser signs in; raises ProviderUnavailable."""
        with self._turn():
            metadata, _ = self._discover()
        url, _ = self._client(metadata, attempt).create_authorization_url(
            metadata.authorization_endpoint,
            state=attempt.state,
            nonce=attempt.nonce,
            code_verifier=attempt.verifier,
        )
        return str(url)

    def identify(self, attempt: Attempt, code: str, *, issuer: str | None) -> Identity:
        """Return who signed in, by the code with which the browser came back.

        `issuer` is the parameter `iss` (RFC 9207), if there was one. Raises
        Unauthorized, InsufficientScope, ProviderUnavailable and TokenKeysUnavailable.
        """
        if issuer is not None and issuer != self._rules.issuer:
            raise Unauthorized("The answer is from another provider.")
        if not re.fullmatch(f"[ -~]{{1,{_MAX_CODE_LENGTH}}}", code):
            raise Unauthorized("The provider's code is missing or malformed.")
        with self._turn():
            metadata, keys = self._discover()
            return verify_id_token(
                self._fetch_id_token(metadata, attempt, code),
                keys.find,
                self._rules,
                nonce=attempt.nonce,
                now=clock.utc_now(),
            )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise ProviderUnavailable("Too many people sign in at this moment.")
        try:
            yield
        finally:
            self._free.release()

    def _fetch_id_token(self, metadata: _Metadata, attempt: Attempt, code: str) -> str:
        try:
            found = self._client(metadata, attempt).fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
            )
        except AuthlibBaseError as error:
            if error.error in _OUR_MISTAKES:
                log.error("the OpenID provider refuses chatstore", error=error.error)
                raise ProviderUnavailable(
                    "The provider does not accept this server."
                ) from None
            raise Unauthorized("The provider has refused the code.") from None
        except _FAILURES as error:
            raise _unavailable("token", error) from None
        text = found.get("id_token")
        if not isinstance(text, str):
            raise Unauthorized("The provider has sent no ID token.")
        return text

    def _client(self, metadata: _Metadata, attempt: Attempt) -> Any:
        return OAuth2Client(
            _HttpSession(),
            client_id=self._settings.openid_client_id,
            client_secret=self._settings.openid_client_secret or None,
            token_endpoint_auth_method=metadata.client_auth,
            scope=self._settings.openid_scopes,
            redirect_uri=attempt.redirect_uri,
            code_challenge_method="S256",
        )

    def _discover(self) -> tuple[_Metadata, KeySource]:
        """Return the metadata, at most `REFRESH_SECONDS` old if the provider answers.

        Threads that need it at once wait for one request.
        """
        with self._lock:
            if self._refresh.is_over and self._retry.is_over:
                self._retry = Deadline(RETRY_SECONDS)
                try:
                    self._keep(self._read_metadata())
                except _FAILURES as error:
                    unavailable = _unavailable("discovery", error)
                    if self._metadata is None:
                        raise unavailable from None
            if self._metadata is None or self._keys is None:
                raise ProviderUnavailable("The provider could not be reached just now.")
            return self._metadata, self._keys

    def _keep(self, metadata: _Metadata) -> None:
        if self._metadata is None or metadata.jwks_uri != self._metadata.jwks_uri:
            self._keys = KeySource(metadata.jwks_uri)
        self._metadata, self._refresh = metadata, Deadline(REFRESH_SECONDS)

    def _read_metadata(self) -> _Metadata:
        issuer = self._settings.openid_issuer
        answer = exchange(
            f"{issuer.rstrip('/')}/.well-known/openid-configuration",
            seconds=WAIT_SECONDS,
            max_bytes=MAX_BYTES,
            headers={"Accept": "application/json"},
        )
        if answer.status != 200:
            raise ValueError(f"the answer is {answer.status}")
        found = answer.json_object()
        if found.get("issuer") != issuer:
            raise ValueError("names another issuer")
        return _Metadata(
            authorization_endpoint=_url_in(found, "authorization_endpoint"),
            token_endpoint=_url_in(found, "token_endpoint"),
            jwks_uri=_url_in(found, "jwks_uri"),
            client_auth=self._client_auth(
                found.get("token_endpoint_auth_methods_supported")
            ),
        )

    def _client_auth(self, ways: Any) -> str:
        if not self._settings.openid_client_secret:
            return "none"
        has_post_only = (
            isinstance(ways, list)
            and "client_secret_post" in ways
            and "client_secret_basic" not in ways
        )
        return "client_secret_post" if has_post_only else "client_secret_basic"


class _HttpSession:
    """What Authlib needs of a session of `requests`, bounded."""

    def post(
        self, url: str, *, data: dict[str, str], headers: Any, auth: ClientAuth
    ) -> "_Response":
        form = urlencode(data)
        url, headers, form = auth.prepare("POST", url, dict(headers), form)
        return _Response(
            exchange(
                url,
                seconds=WAIT_SECONDS,
                max_bytes=MAX_BYTES,
                headers=headers,
                form=form,
            )
        )


class _Response:
    """An answer with the names of `requests`."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self.status_code = answer, answer.status

    def raise_for_status(self) -> None:
        if self.status_code >= 300:
            raise ValueError(f"the answer is {self.status_code}")

    def json(self) -> dict[str, Any]:
        found = self._answer.json_object()
        if self.status_code >= 300 and not isinstance(found.get("error"), str):
            self.raise_for_status()
        return found


def _url_in(found: dict[str, Any], name: str) -> str:
    url = found.get(name)
    if not isinstance(url, str) or not is_safe_url(url):
        raise ValueError(f"has no https URL as {name}")
    return url


def _unavailable(step: str, error: Exception) -> ProviderUnavailable:
    # The text of an error may quote the answer, so we log our own texts only.
    cause = str(error) if type(error) is ValueError else type(error).__name__
    log.warning("the OpenID provider does not answer", step=step, cause=cause)
    return ProviderUnavailable("The provider does not answer as it should.")
