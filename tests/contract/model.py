"""The expected behaviour of chatstore in plain Python, for the state machine.

The model knows everything but the ids, which each database chooses. `ids` holds them
by kind of database.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

KINDS = ("sqlite", "postgresql")
DEFAULT_MODEL = "test-model"
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

JsonObject = dict[str, Any]


def instant(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_kept(columns: JsonObject) -> JsonObject:
    """Return these columns of a session with tags trimmed and without duplicates."""
    if "metadata_tags" not in columns:
        return columns
    tags = dict.fromkeys(tag.strip() for tag in columns["metadata_tags"])
    return columns | {"metadata_tags": list(tags)}


@dataclass(eq=False)
class Turn:
    """A stored message."""

    body: JsonObject
    seq: int
    timestamp: datetime
    ids: dict[str, int] = field(default_factory=dict)


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

    @property
    def next_seq(self) -> int:
        return len(self.turns) + 1

    def change(self, columns: JsonObject) -> None:
        self.columns |= as_kept(columns)
        self.revision += bool(columns)

    def append(self, bodies: Sequence[JsonObject], now: datetime) -> list[Turn]:
        first = max(now, self.last_updated_at + MICROSECOND)
        turns = [
            Turn(body, self.next_seq + place, first + place * MICROSECOND)
            for place, body in enumerate(bodies)
        ]
        self.turns += turns
        self.last_updated_at = turns[-1].timestamp
        self.revision += 1
        return turns

    def fork(self, body: JsonObject, now: datetime) -> "Chat":
        turns = self.turns[: body.get("at_seq", len(self.turns))]
        times = [turn.timestamp for turn in turns[-1:]]
        name = {"name": body.get("name", self.columns["name"])}
        fork = Chat(self.columns | name, now, max([now, *times]))
        fork.turns = [replace(turn, ids={}) for turn in turns]
        return fork

    def as_json(self, kind: str) -> JsonObject:
        last = self.turns[-1].body["content"][:200] if self.turns else None
        return self.columns | {
            "id": self.ids[kind],
            "created_at": instant(self.created_at),
            "last_updated_at": instant(self.last_updated_at),
            "message_count": len(self.turns),
            "last_message_preview": last,
            "pinned": False,
            "archived": False,
            "archived_at": None,
        }

    def turn_as_json(self, turn: Turn, kind: str) -> JsonObject:
        return {
            "id": turn.ids[kind],
            "session_id": self.ids[kind],
            "seq": turn.seq,
            "timestamp": instant(turn.timestamp),
            "role": turn.body.get("role", "user"),
            "content": turn.body["content"],
            "metadata": turn.body.get("metadata"),
        }

    def list_turns(self, query: Mapping[str, Any]) -> tuple[list[Turn], bool]:
        """Return the messages that match the query, and whether there are more."""
        turns = [
            turn
            for turn in self.turns
            if query.get("after", 0) < turn.seq < query.get("before", turn.seq + 1)
            and query.get("role", turn.body.get("role", "user"))
            == turn.body.get("role", "user")
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
