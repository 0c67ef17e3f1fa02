"""The expected behaviour of chatstore in plain Python, for the state machine.

The model knows everything but the ids, which each database chooses. `ids` holds them
by kind of database.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chatstore.store.facets import distinct_tags

KINDS = ("sqlite", "postgresql")
DEFAULT_MODEL = "test-model"
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# The fields of a message that answers have only if they were given.
EXTRA = {
    "tool_calls",
    "tool_call_id",
    "name",
    "model",
    "refusal",
    "usage",
    "finish_reason",
    "created_at",
}

JsonObject = dict[str, Any]


def instant(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_kept(columns: JsonObject) -> JsonObject:
    """Return these columns of a session with tags trimmed and without duplicates."""
    if "metadata_tags" not in columns:
        return columns
    tags = distinct_tags(tag.strip() for tag in columns["metadata_tags"])
    return columns | {"metadata_tags": tags}


def text_of(content: Any) -> str:
    """Return the text of a content: itself, or its text parts; null has none."""
    if isinstance(content, list):
        return "\n\n".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


@dataclass(eq=False)
class Turn:
    """A stored message, which follows the message `parent`, 0 for none."""

    body: JsonObject
    seq: int
    timestamp: datetime
    parent: int
    ids: dict[str, int] = field(default_factory=dict)

    @property
    def role(self) -> str:
        return self.body.get("role", "user")

    @property
    def text(self) -> str:
        return text_of(self.body.get("content"))

    @property
    def extra(self) -> JsonObject:
        """The members that the answer has only if they were given."""
        extra = {k: v for k, v in self.body.items() if k in EXTRA and v is not None}
        content = self.body.get("content")
        if not isinstance(content, str):
            extra["parts"] = content
        if self.parent != self.seq - 1:
            extra["parent_seq"] = self.parent
        return extra


@dataclass(eq=False)
class Chat:
    """A stored session and its messages."""

    columns: JsonObject
    created_at: datetime
    last_updated_at: datetime
    revision: int = 1
    turns: list[Turn] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    is_deleted: bool = False
    head: int = 0
    forked_from: "tuple[Chat, int] | None" = None

    @property
    def next_seq(self) -> int:
        return len(self.turns) + 1

    def change(self, columns: JsonObject) -> None:
        self.columns |= as_kept(columns)
        self.revision += bool(columns)

    def refusal(self, place: JsonObject) -> JsonObject | None:
        """Return the members of the 409 for an append with this place, if any."""
        last_seq = len(self.turns)
        if place.get("parent_seq", 0) > last_seq:
            return {"slug": "parent-missing", "last_seq": last_seq}
        if place.get("expected_seq", self.next_seq) != self.next_seq:
            return {"slug": "seq-conflict", "last_seq": last_seq}
        if place.get("expected_head", self.head) != self.head:
            return {"slug": "head-conflict", "head_seq": self.head}
        return None

    def append(
        self, bodies: Sequence[JsonObject], now: datetime, parent: int | None
    ) -> list[Turn]:
        first = max(now, self.last_updated_at + MICROSECOND)
        before = self.head if parent is None else parent
        turns = []
        for number, body in enumerate(bodies):
            seq = self.next_seq + number
            turns.append(Turn(body, seq, first + number * MICROSECOND, before))
            before = seq
        self.turns += turns
        self.head = before
        self.last_updated_at = turns[-1].timestamp
        self.revision += 1
        return turns

    def fork(self, body: JsonObject, now: datetime) -> "Chat":
        turns: list[Turn] = []
        seq = body.get("at_seq", self.head)
        while seq:
            turns.insert(0, self.turns[seq - 1])
            seq = turns[0].parent
        times = [turn.timestamp for turn in turns[-1:]]
        name = {"name": body.get("name", self.columns["name"])}
        fork = Chat(self.columns | name, now, max([now, *times]))
        fork.turns = [
            replace(turn, seq=seq, parent=seq - 1, ids={})
            for seq, turn in enumerate(turns, 1)
        ]
        fork.head = len(turns)
        fork.forked_from = (self, body.get("at_seq", self.head))
        return fork

    def as_json(self, kind: str) -> JsonObject:
        read = [t.text.strip() for t in self.turns if t.role in ("user", "assistant")]
        last = next(filter(None, reversed(read)), "")[:200] or None
        return self.columns | {
            "id": self.ids[kind],
            "created_at": instant(self.created_at),
            "last_updated_at": instant(self.last_updated_at),
            "message_count": len(self.turns),
            "last_message_preview": last,
            "pinned": False,
            "archived": False,
            "archived_at": None,
            "expires_at": None,
            "forked_from": self.forked_from
            and {
                "session_id": self.forked_from[0].ids[kind],
                "seq": self.forked_from[1],
            },
            "head_seq": self.head or None,
            **{
                kind: sum(
                    min(turn.extra.get("usage", {}).get(kind, 0), 10**9)
                    for turn in self.turns
                )
                for kind in ("input_tokens", "output_tokens")
            },
        }

    def turn_as_json(self, turn: Turn, kind: str) -> JsonObject:
        return {
            "id": turn.ids[kind],
            "session_id": self.ids[kind],
            "seq": turn.seq,
            "timestamp": instant(turn.timestamp),
            "role": turn.role,
            "content": turn.text,
            "metadata": turn.body.get("metadata"),
            **turn.extra,
        }

    def list_turns(self, query: Mapping[str, Any]) -> tuple[list[Turn], bool]:
        """Return the messages that match the query, and whether there are more."""
        turns = [
            turn
            for turn in self.turns
            if query.get("after", 0) < turn.seq < query.get("before", turn.seq + 1)
            and query.get("role", turn.role) == turn.role
        ]
        if query.get("order") == "desc":
            turns.reverse()
        limit = query.get("limit", len(turns))
        return turns[:limit], len(turns) > limit


@dataclass(eq=False)
class Posted:
    """A POST with a key that was answered 201."""

    key: str
    path: Callable[[str], str]
    body: JsonObject
    answers: dict[str, Any]


class Model:
    """Everything that is stored."""

    def __init__(self) -> None:
        self.now = START
        self.chats: list[Chat] = []
        self.posted: list[Posted] = []
        self.last_id = dict.fromkeys(KINDS, 0)
        self._keys = itertools.count(1)

    def new_key(self) -> str:
        return f"key {next(self._keys)}"

    def create(self, body: JsonObject) -> Chat:
        columns = {
            "name": None,
            "llm_model_name": DEFAULT_MODEL,
            "rag_document_ids": [],
            "metadata_tags": [],
            "metadata": {},
            "external_id": None,
        }
        chat = Chat(columns | as_kept(body), self.now, self.now)
        self.chats.append(chat)
        return chat

    def in_order(self, kind: str) -> list[Chat]:
        """Return the sessions in list order: newest activity first, then id."""
        there = [chat for chat in self.chats if not chat.is_deleted]
        return sorted(there, key=lambda chat: place(chat, kind), reverse=True)


def place(chat: Chat, kind: str) -> tuple[datetime, str]:
    """Return the sort key of a session: last update, then id."""
    return chat.last_updated_at, chat.ids[kind]
