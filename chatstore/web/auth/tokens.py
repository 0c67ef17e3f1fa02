"""Finds the caller of a request by its JSON Web Token."""

import structlog

from chatstore import clock
from chatstore.access.jwt_tokens import (
    SYMMETRIC_ALGORITHM,
    TokenHeader,
    TokenRules,
    VerifyingKey,
    read_header,
    verify_token,
)
from chatstore.errors import SettingsError, Unauthorized
from chatstore.settings import PREFIX, Settings
from chatstore.web.auth.bearer import read_bearer_token
from chatstore.web.auth.callers import Caller
from chatstore.web.auth.key_sources import KeySource, most_waiting

log = structlog.get_logger(__name__)


class TokenReader:
    """Verifies tokens by the secret, or by the keys of their issuer."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys if they are in a file; raises SettingsError."""
        self._rules = TokenRules(
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            leeway_seconds=settings.jwt_leeway_seconds,
            owner_claim=settings.jwt_owner_claim,
            scope_claim=settings.jwt_scope_claim,
        )
        self._secret = (
            VerifyingKey(SYMMETRIC_ALGORITHM, settings.jwt_secret)
            if settings.jwt_secret
            else None
        )
        self._source = (
            KeySource(settings.jwks, max_waiting=most_waiting(settings.threads))
            if settings.jwks
            else None
        )
        if self._source is not None:
            _read_file(self._source, settings.jwks)
            if not settings.jwt_audience:
                log.warning(
                    "tokens for other services are accepted: JWT_AUDIENCE is empty"
                )

    def caller(self) -> Caller | None:
        """Return the owner of the request's token, or None if it has none."""
        text = read_bearer_token()
        if text is None:
            return None
        key = self._key_of(read_header(text))
        if key is None:
            raise Unauthorized("No key verifies this token.")
        found = verify_token(text, key, self._rules, clock.utc_now())
        return Caller(
            owner_id=found.owner_id,
            scopes=found.scopes,
            actor=f"token {found.owner_id}",
        )

    def _key_of(self, header: TokenHeader) -> VerifyingKey | None:
        if header.algorithm == SYMMETRIC_ALGORITHM:
            return self._secret
        return self._source.find(header) if self._source else None


def _read_file(source: KeySource, path: str) -> None:
    try:
        source.read_file()
    except OSError as error:
        raise SettingsError(
            f"{PREFIX}JWKS is {path}, which cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise SettingsError(f"{PREFIX}JWKS is {path}, which {error}.") from error
