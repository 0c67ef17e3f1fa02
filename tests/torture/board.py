"""State shared by the clients: sessions in use, and requests that can be repeated."""

import random
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from tests.torture.history import Kind

SESSIONS = "/api/v1/sessions/"
# The first _BUSY_SESSIONS of _SESSIONS get most of the traffic.
_SESSIONS, _BUSY_SESSIONS, _BUSY_SHARE = 6, 2, 0.7
# A session with this many messages is replaced by a new one.
_LARGEST_SESSION = 1500
# Recent keyed requests may be sent again, the newest even concurrently.
_REPEATABLE, _RECENT = 2000, 6


@dataclass(frozen=True, slots=True)
class Post:
    """A POST that can be sent again unchanged."""

    kind: Kind
    session: str | None
    tokens: list[str]
    key: str | None = None
    expected_seq: int | None = None
    parent_seq: int | None = None
    by_head: bool = False

    @property
    def path(self) -> str:
        if self.kind is Kind.CREATE:
            return SESSIONS
        end = "/batch" if self.kind is Kind.BATCH else ""
        return f"{SESSIONS}{self.session}/messages{end}"

    @property
    def body(self) -> dict[str, Any]:
        if self.kind is Kind.CREATE:
            return {"name": self.tokens[0]}
        body: dict[str, Any] = {"content": self.tokens[0]}
        if self.kind is Kind.BATCH:
            body = {"messages": [{"content": token} for token in self.tokens]}
        if self.expected_seq is not None and self.by_head:
            body["expected_head"] = self.expected_seq - 1
        elif self.expected_seq is not None:
            body["expected_seq"] = self.expected_seq
        if self.parent_seq is not None:
            body["parent_seq"] = self.parent_seq
        return body


class Board:
    """The sessions in use, and the highest known seq of each; shared by all clients."""

    def __init__(self) -> None:
        self._sessions: list[str | None] = [None] * _SESSIONS
        self._known: dict[str, int] = {}
        self._lock = threading.Lock()
        self._sent: deque[Post] = deque(maxlen=_REPEATABLE)

    def pick(self, chance: random.Random) -> tuple[int, str | None]:
        """Return a slot and its session, or None if the session is missing or full."""
        is_busy = chance.random() < _BUSY_SHARE
        place = chance.randrange(_BUSY_SESSIONS if is_busy else _SESSIONS)
        session = self._sessions[place]
        if session is None or self.known(session) >= _LARGEST_SESSION:
            return place, None
        return place, session

    def put(self, place: int, session: str) -> None:
        self._sessions[place] = session

    def known(self, session: str) -> int:
        return self._known.get(session, 0)

    def learn(self, session: str, seq: int) -> None:
        with self._lock:
            self._known[session] = max(seq, self.known(session))

    def offer(self, post: Post) -> None:
        """Let all clients send this POST too, if it has a key."""
        if post.key is not None:
            self._sent.append(post)

    def pick_repeatable(self, chance: random.Random) -> Post | None:
        """Return a POST that a client is sending or has sent; None if there is none."""
        among = min(len(self._sent), chance.choice((_RECENT, _REPEATABLE)))
        return self._sent[-chance.randint(1, among)] if among else None
