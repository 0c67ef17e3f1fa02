"""Two applications get the same requests; a model knows the responses."""

import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

from flask import Flask
from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import true

from chatstore import clock
from chatstore.db import db, transaction
from chatstore.store.search.entries import delete_entries
from chatstore.store.verify.checks import CHECKS
from tests.contract.model import KINDS, Chat, Model, Posted, Turn, in_runs, place
from tests.contract.strategies import LIMITS
from tests.support import API, JSON, SESSIONS, assert_problem
from tests.support.databases import tables_to_empty

# A value that differs between the databases is a function of the kind.
Path = Callable[[str], str]
Answers = dict[str, Any]
# A cursor, and the place where its page ended, by kind.
Cursor = dict[str, tuple[str, tuple[datetime, str]]]
LOOKS: list[dict[str, Any]] = [
    {},
    {"order": "desc"},
    {"limit": 2},
    {"limit": 1, "order": "desc"},
    {"after": 1, "before": 4},
    {"after": 2, "limit": 1, "order": "desc"},
    {"role": "user"},
    {"siblings": "true"},
    {"path": "head"},
    {"path": "head", "siblings": "true", "limit": 2, "order": "desc"},
]


def sessions_path(kind: str) -> str:
    return SESSIONS


def session_path(chat: Chat, kind: str) -> str:
    return f"{API}/sessions/{chat.ids[kind]}"


def messages_path(chat: Chat, kind: str, rest: str = "") -> str:
    return f"{session_path(chat, kind)}/messages{rest}"


def rest_path(chat: Chat, rest: str, kind: str) -> str:
    return f"{session_path(chat, kind)}/{rest}"


def turn_path(chat: Chat, turn: Turn, kind: str, rest: str = "") -> str:
    return messages_path(chat, kind, f"/{turn.ids[kind]}{rest}")


class Twins(RuleBasedStateMachine):
    """Sends requests, checks responses, updates the model; a subclass has the steps."""

    apps: ClassVar[dict[str, Flask]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        clock.source = lambda: self.model.now
        self.clients = {kind: self.apps[kind].test_client() for kind in KINDS}
        for app in self.apps.values():
            with app.app_context(), transaction():
                delete_entries(true())
                for table in tables_to_empty():
                    db.session.execute(table.delete())

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.look_at_everything()

    def look_at_everything(self) -> None:
        """Expect all stored data from every route, and no violation of a promise."""
        for app in self.apps.values():
            with app.app_context():
                assert [line for each in CHECKS for line in each.find()] == []
        for chat in self.model.chats:
            if chat.is_deleted:
                self.send("GET", partial(session_path, chat), 404)
                self.send("GET", partial(messages_path, chat), 404)
                continue
            self.expect_chat(self.send("GET", partial(session_path, chat), 200), chat)
            for query in LOOKS:
                self.expect_turns(chat, query)
            for head in {0, *(turn.seq for turn in chat.turns[-3:])}:
                self.expect_path(chat, head)
            for turn in chat.turns:
                if turn in chat.turns[-2:] or turn.state:
                    self.expect_turn(chat, turn)
                if turn.revision > 1:
                    self.expect_revisions(chat, turn)
        for posted in self.model.posted:
            self.expect_again(posted)
            self.expect_reused(posted, sessions_path, {"name": posted.key})
            if isinstance(posted.path, partial) and posted.path.func is messages_path:
                for other in {*self.model.chats} - {*posted.path.args}:
                    path = partial(messages_path, other, **posted.path.keywords)
                    self.expect_reused(posted, path, posted.body)
        for rating in (None, 1, -1):
            self.expect_rated(rating, 2)
        cursor = self.expect_page(None, 2)
        while cursor:
            cursor = self.expect_page(cursor, 2)

    def send(
        self,
        method: str,
        path: Path,
        status: int,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answers:
        """Send the request to both; expect the status; return the responses."""
        sent = dict(headers or {})
        if body is not None:
            sent |= JSON
        if isinstance(body, dict):
            body = json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")
        answers = {
            kind: client.open(path(kind), method=method, data=body, headers=sent)
            for kind, client in self.clients.items()
        }
        for answer in answers.values():
            assert answer.status_code == status, answer.data
        if status >= 400:
            one, other = (
                assert_problem(each, status) | {"request_id": "", "detail": ""}
                for each in answers.values()
            )
            assert one == other
        return answers

    def post(
        self, path: Path, status: int, body: Any, key: str | None
    ) -> tuple[Answers, Posted | None]:
        """Post for the first time; return the responses and, with a key, the record."""
        headers = {"Idempotency-Key": key} if key else {}
        answers = self.send("POST", path, status, body=body, headers=headers)
        for answer in answers.values():
            assert "Idempotency-Replayed" not in answer.headers
        if key is None or status >= 300:
            return answers, None
        self.model.posted.append(Posted(key, path, body, status, answers))
        return answers, self.model.posted[-1]

    def expect(
        self, answers: Answers, as_json: Callable[[str], Any], **headers: Path
    ) -> None:
        """Expect these bodies and headers."""
        for kind, answer in answers.items():
            assert canonical(answer.json) == canonical(as_json(kind))
            for name, value in headers.items():
                assert answer.headers[name] == value(kind)

    def expect_chat(self, answers: Answers, chat: Chat, **headers: Path) -> None:
        tag = f'"{chat.revision}"'
        self.expect(answers, chat.as_json, ETag=lambda kind: tag, **headers)

    def expect_turns(self, chat: Chat, query: Mapping[str, Any]) -> None:
        """List these messages of the session and expect them."""
        turns, has_more = chat.list_turns(query)

        def as_json(turn: Turn, kind: str) -> Any:
            siblings = chat.siblings(turn)
            is_told = "siblings" in query and len(siblings) > 1
            told = {"siblings": siblings} if is_told else {}
            return chat.turn_as_json(turn, kind) | told

        path = partial(messages_path, chat, rest=f"?{urlencode(query)}")
        self.expect(
            self.send("GET", path, 200),
            lambda kind: {
                "messages": [as_json(turn, kind) for turn in turns],
                "has_more": has_more,
            },
        )

    def expect_turn(self, chat: Chat, turn: Turn) -> None:
        """Get this message and expect it."""
        answers = self.send("GET", partial(turn_path, chat, turn), 200)
        self.expect_turn_in(answers, chat, turn)

    def expect_turn_in(self, answers: Answers, chat: Chat, turn: Turn) -> None:
        """Expect this message, and an ETag that changes with its feedback too."""
        self.expect(answers, partial(chat.turn_as_json, turn))
        (tag,) = {answer.headers["ETag"] for answer in answers.values()}
        digest = "-[0-9a-f]{12}" if turn.feedback else ""
        assert re.fullmatch(f'"{turn.revision}{digest}"', tag)

    def expect_revisions(self, chat: Chat, turn: Turn) -> None:
        """Expect what the message said before its edits, newest first."""
        path = partial(turn_path, chat, turn, rest="/revisions")
        page = {"revisions": turn.revisions[:-6:-1], "has_more": turn.revisions[:-5]}
        page["has_more"] = bool(page["has_more"])
        self.expect(self.send("GET", path, 200), lambda kind: page)

    def expect_path(self, chat: Chat, head: int) -> None:
        """Expect the path to this message; for 0, to the session's head."""
        query = f"?head={head}" if head else ""
        head = head or chat.head
        seqs = [turn.seq for turn in chat.path(head)]
        path = {"head_seq": head or None, "length": len(seqs), "runs": in_runs(seqs)}
        answers = self.send("GET", partial(rest_path, chat, f"path{query}"), 200)
        self.expect(answers, lambda kind: path)

    def expect_rated(self, rating: int | None, limit: int) -> None:
        """Expect all messages with this rating, page by page."""
        cursors = dict.fromkeys(KINDS, "")
        query = {"limit": limit} | ({"rating": rating} if rating else {})
        rest = {kind: self.model.rated(kind, rating) for kind in KINDS}
        is_over = False
        while not is_over:

            def path(kind: str) -> str:
                cursor = {"cursor": cursors[kind]} if cursors[kind] else {}
                return f"{API}/feedback?{urlencode(query | cursor)}"

            for kind, answer in self.send("GET", path, 200).items():
                page, rest[kind] = rest[kind][:limit], rest[kind][limit:]
                found = [chat.turn_as_json(turn, kind) for chat, turn in page]
                assert canonical(answer.json["messages"]) == canonical(found)
                cursors[kind] = answer.json["next_cursor"]
                is_over = not cursors[kind]
                assert is_over == (not rest[kind])

    def expect_again(self, posted: Posted) -> None:
        """Repeat the POST and expect the first response, or that it is forgotten."""
        headers = {"Idempotency-Key": f'"{posted.key}"'}
        status = 410 if posted.is_forgotten else posted.status
        answers = self.send(
            "POST", posted.path, status, body=posted.body, headers=headers
        )
        if posted.is_forgotten:
            return
        for kind, answer in answers.items():
            first = posted.answers[kind]
            assert answer.data == first.data
            assert answer.headers["Idempotency-Replayed"] == "true"
            for name in ("Location", "ETag", "Content-Type"):
                assert answer.headers.get(name) == first.headers.get(name)

    def expect_reused(self, posted: Posted, path: Path, body: Any) -> None:
        """Post another request with the same key and expect a refusal."""
        headers = {"Idempotency-Key": posted.key}
        # A forgotten record lacks the digest of the body, so it cannot compare bodies.
        is_same = path(KINDS[0]) == posted.path(KINDS[0])
        is_gone = posted.is_forgotten and is_same
        status, slug = (410, "message-deleted") if is_gone else (422, "key-reused")
        answers = self.send("POST", path, status, body=body, headers=headers)
        for answer in answers.values():
            assert answer.json["type"].endswith(slug)

    def expect_page(
        self, cursor: Cursor | None, limit: int | None, *, offset: int = 0
    ) -> Cursor | None:
        """Get the page after the cursor and expect it; return the page's own cursor.

        Changes since the cursor was issued must not matter.
        """
        size = limit or LIMITS["default_page_size"]

        def path(kind: str) -> str:
            query: dict[str, Any] = {"limit": limit} if limit else {}
            query |= {"offset": offset} if offset else {}
            query |= {"cursor": cursor[kind][0]} if cursor else {}
            return f"{SESSIONS}?{urlencode(query)}"

        next_cursor = {}
        for kind, answer in self.send("GET", path, 200).items():
            rest = self.model.in_order(kind)[offset:]
            if cursor:
                rest = [chat for chat in rest if place(chat, kind) < cursor[kind][1]]
            page = [chat.as_json(kind) for chat in rest[:size]]
            assert canonical(answer.json["sessions"]) == canonical(page)
            text = answer.json["next_cursor"]
            assert (text is not None) == (len(rest) > size)
            if text is not None:
                next_cursor[kind] = text, place(rest[size - 1], kind)
        return next_cursor or None

    def learn_ids(
        self, turns: list[Turn], answers: Answers, messages: Callable[[Any], Any]
    ) -> None:
        """Record the ids of new messages; each must be greater than all before."""
        for kind, answer in answers.items():
            ids = [each["id"] for each in messages(answer.json)]
            all_ids = [self.model.last_id[kind], *ids]
            assert all_ids == sorted(set(all_ids))
            self.model.last_id[kind] = ids[-1]
            for turn, each in zip(turns, ids, strict=True):
                turn.ids[kind] = each


def canonical(value: Any) -> str:
    """Return a text that is equal for equal JSON; 1 and 1.0 differ."""
    return json.dumps(value, sort_keys=True)
