"""Verifies JSON Web Tokens (RFC 7519) by the advice of RFC 8725; reads no network.

The sender of a token chooses its header, so the header only finds a key. The type of
the key fixes the algorithm: an RS256 key never checks an HS256 signature.
"""

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from jwt.types import Options

from chatstore.access.owners import owner_flaw
from chatstore.enums import Scope
from chatstore.errors import InsufficientScope, Unauthorized

SYMMETRIC_ALGORITHM = "HS256"
MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2
_ALGORITHMS = ("HS256", "RS256", "ES256")
_PART = re.compile(r"[A-Za-z0-9_-]+")
# They name another key, or extensions that a verifier must understand.
_REFUSED_MEMBERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64"})
# An issuer may sign tokens of other kinds with the same key, so we check the kind
# (RFC 8725, section 3.11).
_TYPES = frozenset({"jwt", "at+jwt"})
_MAX_KEY_ID_LENGTH = 256
_CHECKS: Options = {
    "require": ["exp"],
    # `_check_times` reads our clock.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """What a token must say; an empty text checks nothing."""

    issuer: str = ""
    audience: str = ""
    leeway_seconds: int = 30
    owner_claim: str = "sub"
    scope_claim: str = ""


@dataclass(frozen=True)
class TokenHeader:
    """The parts of a token's header by which its key is found."""

    algorithm: str
    key_id: str | None


@dataclass(frozen=True)
class VerifyingKey:
    """A secret or public key, and the one algorithm that it verifies."""

    algorithm: str
    key: Any
    key_id: str | None = None


@dataclass(frozen=True)
class Identity:
    """The owner that a token names, and what it may do."""

    owner_id: str
    scopes: tuple[Scope, ...]


def read_header(text: str) -> TokenHeader:
    """Return the header of a token, which is not verified yet; raises Unauthorized."""
    parts = text.split(".")
    if len(parts) != 3:
        raise Unauthorized("This is no JSON Web Token of three parts.")
    header, _, _ = (_decode(part) for part in parts)
    found = _parse(header)
    if refused := sorted(_REFUSED_MEMBERS & found.keys()):
        raise Unauthorized(f"The token's header has {refused[0]}, which is refused.")
    algorithm, key_id = found.get("alg"), found.get("kid")
    if algorithm not in _ALGORITHMS:
        raise Unauthorized(f"The token's alg must be one of {', '.join(_ALGORITHMS)}.")
    kind = found.get("typ", "JWT")
    if not isinstance(kind, str) or _media_type(kind) not in _TYPES:
        raise Unauthorized("The token's typ must be JWT or at+jwt.")
    if key_id is not None and (
        not isinstance(key_id, str) or len(key_id) > _MAX_KEY_ID_LENGTH
    ):
        raise Unauthorized("The token's kid must be a short text.")
    return TokenHeader(algorithm, key_id)


def verify_token(
    text: str, key: VerifyingKey, rules: TokenRules, now: datetime
) -> Identity:
    """Return the owner and scopes of a token; `read_header` has accepted its header.

    Raises Unauthorized, and InsufficientScope if the scope claim has no scope.
    """
    return identity_of(verify_claims(text, key, rules, now), rules)


def verify_claims(
    text: str, key: VerifyingKey, rules: TokenRules, now: datetime
) -> dict[str, Any]:
    """Return the claims of a token; `read_header` has accepted its header.

    Raises Unauthorized.
    """
    _parse(_decode(text.split(".")[1]))  # PyJWT's parser does not bound the depth
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            key.key,
            algorithms=[key.algorithm],
            issuer=rules.issuer or None,
            audience=rules.audience or None,
            options={**_CHECKS, "verify_aud": bool(rules.audience)},
        )
    except jwt.MissingRequiredClaimError as error:
        raise Unauthorized(f"The token has no {error.claim}.") from None
    except jwt.InvalidIssuerError:
        raise Unauthorized("The token is from another issuer.") from None
    except jwt.InvalidAudienceError:
        raise Unauthorized("The token is for another audience.") from None
    except jwt.PyJWTError:
        raise Unauthorized("The token's signature is wrong.") from None
    _check_times(claims, rules.leeway_seconds, now.timestamp())
    return claims


def identity_of(claims: dict[str, Any], rules: TokenRules) -> Identity:
    """Return the owner and scopes that verified claims name.

    Raises Unauthorized, and InsufficientScope if the scope claim has no scope.
    """
    return Identity(_owner(claims, rules), _scopes(claims, rules))


def _decode(part: str) -> bytes:
    # Python's decoder skips foreign characters and ignores the last bits, so many texts
    # would be the same token. We refuse all but one of them.
    if _PART.fullmatch(part) and len(part) % 4 != 1:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == part:
            return decoded
    raise Unauthorized("A part of the token is not base64url.")


def _parse(part: bytes) -> dict[str, Any]:
    try:
        found = json.loads(part.decode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unauthorized("A part of the token is no JSON object.")
    return found


def _media_type(kind: str) -> str:
    return kind.lower().removeprefix("application/")


def _check_times(claims: dict[str, Any], leeway: int, now: float) -> None:
    if _instant(claims, "exp") + leeway <= now:
        raise Unauthorized("The token has expired.")
    for claim in ("nbf", "iat"):
        if claim in claims and _instant(claims, claim) - leeway > now:
            raise Unauthorized(
                f"The token is not valid yet: its {claim} is in the future."
            )


def _instant(claims: dict[str, Any], claim: str) -> float:
    value = claims[claim]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # False for NaN and infinity too, and for integers that no float can hold.
    if not (is_number and abs(value) <= 2**53):
        raise Unauthorized(f"The token's {claim} is not a time.")
    return float(value)


def _owner(claims: dict[str, Any], rules: TokenRules) -> str:
    owner_id = claims.get(rules.owner_claim)
    if not isinstance(owner_id, str):
        raise Unauthorized(f"The token's {rules.owner_claim} is not a text.")
    if flaw := owner_flaw(owner_id):
        raise Unauthorized(f"The token's {rules.owner_claim} {flaw}.")
    return owner_id


def _scopes(claims: dict[str, Any], rules: TokenRules) -> tuple[Scope, ...]:
    if not rules.scope_claim:
        return Scope.WRITE.included
    given = claims.get(rules.scope_claim)
    words = given.split() if isinstance(given, str) else given
    found = [each for each in Scope if isinstance(words, list) and each in words]
    if not found:
        raise InsufficientScope(
            f"The token's {rules.scope_claim} has none of the words read, write, admin."
        )
    return found[-1].included
