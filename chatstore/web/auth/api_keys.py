"""Finds the caller of a request by its API key."""

from chatstore import clock
from chatstore.access.key_uses import KeyUses
from chatstore.access.secret_tokens import API_KEY_PREFIX, parse_token
from chatstore.db import run_read
from chatstore.enums import Scope
from chatstore.errors import Unauthorized
from chatstore.store import keys
from chatstore.web.auth.bearer import read_bearer_token
from chatstore.web.auth.callers import Caller
from chatstore.web.auth.known_tokens import KnownToken, KnownTokens


class KeyRing:
    """The API keys that a process has used lately; safe for all threads."""

    def __init__(self, uses: KeyUses) -> None:
        self._uses = uses
        self._known = KnownTokens(API_KEY_PREFIX, _read_key, self._note)

    def caller(self) -> Caller | None:
        """Return the owner of the request's key, or None if it has none."""
        text = read_bearer_token()
        if text is None or not text.startswith(API_KEY_PREFIX):
            return None
        return self.check(text).caller

    def check(self, text: str) -> KnownToken:
        """Return what is known of the key; raises Unauthorized."""
        known = self._known.find(text)
        if known is None and parse_token(API_KEY_PREFIX, text) is None:
            raise Unauthorized("This is no API key: a character is wrong or missing.")
        if known is None:
            raise Unauthorized(
                "This API key does not exist, is revoked, or has expired."
            )
        return known

    def _note(self, known: KnownToken) -> None:
        # A use before the next read is less than a second later, so we do not note it.
        self._uses.note(known.id, clock.utc_now())


def _read_key(key_id: str) -> KnownToken | None:
    key = run_read(keys.find_valid_key, key_id)
    if key is None:
        return None
    return KnownToken(
        id=key.id,
        sha256=key.sha256,
        caller=Caller(
            owner_id=key.owner_id,
            scopes=Scope(key.scope).included,
            actor=f"key {key.id}",
        ),
        expires_at=key.expires_at,
    )
