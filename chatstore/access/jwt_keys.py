"""Reads a JSON Web Key Set (RFC 7517): the public keys of an issuer of tokens."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from chatstore.access.jwt_tokens import TokenHeader, VerifyingKey

MAX_BYTES = 1024 * 1024
_MAX_KEYS = 100
_MIN_RSA_BITS = 2048
# The algorithm of each type of key, by kty and crv. A set is public, so we take no
# shared secret (oct) from it.
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}
_PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y")


class KeySet:
    """The usable keys of a set."""

    def __init__(self, keys: list[VerifyingKey]) -> None:
        self._keys = keys

    def find(self, header: TokenHeader) -> VerifyingKey | None:
        """Return the only key that fits a token, or None; a token may leave out kid."""
        fitting = [
            key
            for key in self._keys
            if key.algorithm == header.algorithm and header.key_id in (None, key.key_id)
        ]
        return fitting[0] if len(fitting) == 1 else None


def read_key_set(content: bytes) -> KeySet:
    """Return the keys in a JSON document; leave out those that verify no signature.

    Raises ValueError, with a predicate, if it has no usable key.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    given = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(given, list) or len(given) > _MAX_KEYS:
        raise ValueError(f"is no key set of at most {_MAX_KEYS} keys")
    keys = [key for each in given if (key := _read_key(each)) is not None]
    if not keys:
        raise ValueError("has no RSA or P-256 key that verifies RS256 or ES256")
    return KeySet(keys)


def _read_key(given: Any) -> VerifyingKey | None:
    if not isinstance(given, dict):
        return None
    members = {name: given[name] for name in _PUBLIC_MEMBERS if name in given}
    if not all(isinstance(each, str) for each in members.values()):
        return None
    algorithm = _ALGORITHMS.get((given.get("kty", ""), given.get("crv")))
    key_id, uses = given.get("kid"), given.get("key_ops", ["verify"])
    if (
        algorithm is None
        or given.get("use", "sig") != "sig"
        or given.get("alg", algorithm) != algorithm
        or not (isinstance(uses, list) and "verify" in uses)
        or not isinstance(key_id, str | None)
    ):
        return None
    try:
        key = jwt.PyJWK(members, algorithm).key
    except (jwt.PyJWTError, ValueError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        return None
    return VerifyingKey(algorithm, key, key_id)
