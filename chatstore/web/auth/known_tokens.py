"""Keeps the valid tokens that a process used lately, so most requests read none."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chatstore import clock
from chatstore.access.secret_tokens import (
    id_in,
    is_same_secret,
    is_text_of,
    parse_token,
)
from chatstore.clock import Deadline
from chatstore.web.auth.callers import Caller
from chatstore.web.rate_limits import require_failed_logins_left

# A revoked token must be refused within a second, so a process reads each token again
# after this time. To read it in every request would make each a statement slower.
_RECHECK_SECONDS = 0.75
_MAX_TOKENS = 10_000


@dataclass(frozen=True, kw_only=True)
class KnownToken:
    """A valid token, as read from the database."""

    id: str
    sha256: str
    caller: Caller
    expires_at: datetime | None
    # None for API keys: only logins end when they are idle.
    last_seen_at: datetime | None = None


class KnownTokens:
    """The tokens of one kind; safe for all threads.

    `read` gets an id and returns the valid token with this id, or None. `note` gets
    each valid token that a request made us read.
    """

    def __init__(
        self,
        prefix: str,
        read: Callable[[str], KnownToken | None],
        note: Callable[[KnownToken], None],
    ) -> None:
        self._prefix = prefix
        self._read = read
        self._note = note
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[KnownToken, Deadline]] = OrderedDict()

    def find(self, text: str) -> KnownToken | None:
        """Return what is known of the token; None if it is not valid.

        Raises TooManyFailedLogins for a token that was never valid here, if its address
        has sent too many wrong ones. It runs no query then.
        """
        known, recheck = self._known.get(id_in(self._prefix, text), (None, None))
        if known is None or recheck is None or not is_text_of(text, known.sha256):
            known = self._read_unproved(text)
        elif recheck.is_over:
            known = self._read_and_keep(text)
        if known is None:
            return None
        if known.expires_at is not None and known.expires_at <= clock.utc_now():
            return None
        return known

    def forget(self, token_id: str) -> None:
        """Make the next request read the token."""
        with self._lock:
            self._known.pop(token_id, None)

    def _read_unproved(self, text: str) -> KnownToken | None:
        if parse_token(self._prefix, text) is None:
            return None
        require_failed_logins_left()
        return self._read_and_keep(text)

    def _read_and_keep(self, text: str) -> KnownToken | None:
        token = parse_token(self._prefix, text)
        if token is None:
            return None
        recheck = Deadline(_RECHECK_SECONDS)  # from before the read
        known = self._read(token.id)
        if known is None:
            self.forget(token.id)
        if known is None or not is_same_secret(token, known.sha256):
            return None
        self._note(known)
        with self._lock:
            self._known[token.id] = known, recheck
            while len(self._known) > _MAX_TOKENS:
                self._known.popitem(last=False)
        return known
