"""Clients that append, read and create at random, and record the answers."""

import random
import threading
import time
from typing import Any

from tests.torture import replies
from tests.torture.board import SESSIONS, Board, Post
from tests.torture.connection import Abandoned, Connection
from tests.torture.history import Call, Kind, Outcome, Recorder

_PAUSE_SECONDS = 0.05


class Client(threading.Thread):
    """One caller, which waits for each answer before its next request."""

    def __init__(
        self,
        number: int,
        *,
        port: int,
        seed: int,
        board: Board,
        recorder: Recorder,
        over: threading.Event,
        abandon: threading.Event,
    ) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.error: Exception | None = None
        self._number = number
        self._chance = random.Random(f"{seed}/{number}")
        self._board, self._recorder = board, recorder
        self._over, self._abandon = over, abandon
        self._connection = Connection(port, abandon)
        self._sent = 0
        self._read_to: dict[str, int] = {}

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._act()
        except Abandoned:
            pass
        except Exception as error:
            self.error = error
        finally:
            self._connection.close()

    def _act(self) -> None:
        place, session = self._board.pick(self._chance)
        if session is None:
            self._create(place)
            return
        (act,) = self._chance.choices(_ACTIONS, _WEIGHTS)
        act(self, session)

    def _create(self, place: int) -> None:
        post = Post(Kind.CREATE, None, [self._token()], self._key(share=0.8))
        call = self._post(post)
        if call.outcome is Outcome.ACKNOWLEDGED:
            self._board.put(place, call.answer)

    def _append(self, session: str) -> None:
        tokens, key = [self._token()], self._key(share=0.6)
        parent = self._parent(session)
        self._post(Post(Kind.APPEND, session, tokens, key, parent_seq=parent))

    def _append_expecting(self, session: str) -> None:
        expected = self._board.known(session) + 1
        tokens, key = [self._token()], self._key(share=0.5)
        by_head = self._chance.random() < 0.5
        self._post(Post(Kind.APPEND, session, tokens, key, expected, by_head=by_head))

    def _append_batch(self, session: str) -> None:
        size = self._chance.choice((2, 5, 10, 20, 30, 50))
        tokens = [self._token() for _ in range(size)]
        is_expecting = self._chance.random() < 0.2
        expected = self._board.known(session) + 1 if is_expecting else None
        key, parent = self._key(share=1), self._parent(session)
        self._post(Post(Kind.BATCH, session, tokens, key, expected, parent))

    def _repeat(self, session: str) -> None:
        post = self._board.pick_repeatable(self._chance)
        if post is not None:
            self._post(post)

    def _read_new(self, session: str) -> None:
        after = self._read_to.get(session, 0)
        messages = self._read(session, after, self._chance.choice((5, 50, None)))
        if messages:
            self._read_to[session] = messages[-1][0]

    def _read_all(self, session: str) -> None:
        self._read(session, 0, None)

    def _read(self, session: str, after: int, limit: int | None) -> list[Any]:
        path = f"{SESSIONS}{session}/messages"
        query = f"?after={after}" + (f"&limit={limit}" if limit else "")
        self._connection.connect()
        invoked = time.monotonic()
        reply = self._connection.ask("GET", path + query if after or limit else path)
        call = self._recorded(
            Call(
                kind=Kind.READ,
                session=session,
                after=after,
                limit=limit,
                client=self._number,
                invoked=invoked,
                finished=time.monotonic(),
                outcome=replies.outcome(reply, None),
                status=reply.status,
                answer=replies.answer(Kind.READ, reply),
                error=reply.error,
            )
        )
        return call.answer or []

    def _post(self, post: Post) -> Call:
        """Send once; with a key, repeat until the outcome is known."""
        self._board.offer(post)
        call = self._post_once(post)
        while call.outcome is Outcome.UNKNOWN:
            self._abandon.wait(_PAUSE_SECONDS)
            if post.key is None:
                return call
            call = self._post_once(post)
        return call

    def _post_once(self, post: Post) -> Call:
        self._connection.connect()
        invoked = time.monotonic()
        reply = self._connection.ask("POST", post.path, post.body, post.key)
        return self._recorded(
            Call(
                kind=post.kind,
                session=post.session,
                tokens=post.tokens,
                key=post.key,
                expected_seq=post.expected_seq,
                parent_seq=post.parent_seq,
                client=self._number,
                invoked=invoked,
                finished=time.monotonic(),
                outcome=replies.outcome(reply, post.key),
                status=reply.status,
                is_replayed=reply.header("Idempotency-Replayed") == "true",
                answer=replies.answer(post.kind, reply),
                error=reply.error,
            )
        )

    def _recorded(self, call: Call) -> Call:
        self._recorder.add_call(call)
        is_of_messages = call.session is not None and call.answer
        if is_of_messages and call.outcome is Outcome.ACKNOWLEDGED:
            self._board.learn(call.session or "", call.answer[-1][0])
        return call

    def _parent(self, session: str) -> int | None:
        """Return the seq of a message to follow, 0 for none; None for the last one."""
        if self._chance.random() < 0.7:
            return None
        return self._chance.randint(0, self._board.known(session))

    def _token(self) -> str:
        self._sent += 1
        return f"{self._number}-{self._sent}"

    def _key(self, *, share: float) -> str | None:
        return f"key-{self._token()}" if self._chance.random() < share else None


_ACTIONS = (
    Client._append,
    Client._append_expecting,
    Client._append_batch,
    Client._repeat,
    Client._read_new,
    Client._read_all,
)
_WEIGHTS = (50, 8, 14, 4, 20, 2)
