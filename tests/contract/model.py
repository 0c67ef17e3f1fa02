"""The expected behaviour of chatstore in plain Python, for the state machine.

The model knows everything but the ids, which each database chooses. `ids` holds them
by kind of database.
"""

import itertools
import json
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


def in_runs(seqs: Sequence[int]) -> list[list[int]]:
    """Return runs `[first, last]` of these ascending seqs."""
    runs: list[list[int]] = []
    for seq in seqs:
        if runs and runs[-1][1] == seq - 1:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])
    return runs


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
    revision: int = 1
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    feedback: JsonObject = field(default_factory=dict)
    # Earlier revisions as answers have them, oldest first.
    revisions: list[JsonObject] = field(default_factory=list)

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
        return extra

    @property
    def said(self) -> JsonObject:
        """What an edit changes, and a revision keeps."""
        metadata = self.body.get("metadata")
        return {"content": self.text, "metadata": metadata, **self.extra}

    @property
    def state(self) -> JsonObject:
        """The members that the answer has only if something happened."""
        state: JsonObject = {}
        if self.parent != self.seq - 1:
            state["parent_seq"] = self.parent
        if self.revision > 1:
            state["revision"] = self.revision
        if self.edited_at:
            state["edited_at"] = instant(self.edited_at)
        if self.deleted_at:
            state["deleted_at"] = instant(self.deleted_at)
        return state | ({"feedback": self.feedback} if self.feedback else {})

    def edited(self, changes: JsonObject) -> "Turn":
        """Return the message as it would be after the edit, with the old state."""
        is_removed = {k for k, v in changes.items() if k in EXTRA and v is None}
        body = self.body | changes
        return replace(
            self, body={k: v for k, v in body.items() if k not in is_removed}
        )

    @property
    def is_something(self) -> bool:
        """Whether an edit may leave this."""
        said = self.said
        is_written = said["content"] or said.get("parts") or said.get("tool_calls")
        return bool(is_written or said["metadata"] or self.role == "assistant")

    def edit(self, changes: JsonObject, now: datetime) -> bool:
        """Edit the message; return whether that changes anything."""
        after = self.edited(changes)
        # Python's 1 equals 1.0 and true, and its objects have no order.
        if all(
            json.dumps(self.said.get(name)) == json.dumps(after.said.get(name))
            for name in {*self.said, *after.said}
        ) and set(self.said) == set(after.said):
            return False
        written_at = instant(self.edited_at or self.timestamp)
        kept = {"revision": self.revision, "written_at": written_at}
        self.revisions.append(kept | self.said)
        self.body, self.edited_at = after.body, now
        self.revision += 1
        return True

    def delete(self, now: datetime) -> bool:
        """Delete what the message says; return whether it said anything yet."""
        if self.deleted_at:
            return False
        self.body = {"role": self.role, "content": ""}
        self.revision += 1
        self.edited_at, self.deleted_at = None, now
        self.feedback, self.revisions = {}, []
        return True


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

    def path(self, head: int) -> list[Turn]:
        """Return the messages on the path to `head`, found from parent to parent."""
        turns: list[Turn] = []
        while head:
            turns.insert(0, self.turns[head - 1])
            head = turns[0].parent
        return turns

    def siblings(self, turn: Turn) -> list[int]:
        """Return the seqs of all messages with this one's parent, itself included."""
        return [each.seq for each in self.turns if each.parent == turn.parent]

    def delete_turns(self, turns: Sequence[Turn], now: datetime) -> list[Turn]:
        """Delete what these messages say; return those that said anything yet."""
        deleted = [turn for turn in turns if turn.delete(now)]
        self.revision += bool(deleted)
        return deleted

    def fork(self, body: JsonObject, now: datetime) -> "Chat":
        turns = self.path(body.get("at_seq", self.head))
        times = [turn.timestamp for turn in turns[-1:]]
        name = {"name": body.get("name", self.columns["name"])}
        fork = Chat(self.columns | name, now, max([now, *times]))
        fork.turns = [
            Turn(turn.body, seq, turn.timestamp, seq - 1, deleted_at=turn.deleted_at)
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
            **turn.said,
            **turn.state,
        }

    def list_turns(self, query: Mapping[str, Any]) -> tuple[list[Turn], bool]:
        """Return the messages that match the query, and whether there are more."""
        path = query.get("path")
        head = self.head if path == "head" else path
        turns = [
            turn
            for turn in (self.turns if path is None else self.path(head))
            if query.get("after", 0) < turn.seq < query.get("before", turn.seq + 1)
            and query.get("role", turn.role) == turn.role
        ]
        if query.get("order") == "desc":
            turns.reverse()
        limit = query.get("limit", len(turns))
        return turns[:limit], len(turns) > limit


@dataclass(eq=False)
class Posted:
    """A POST with a key that was answered 200 or 201.

    `holds` are the messages that the answer tells of.
    """

    key: str
    path: Callable[[str], str]
    body: JsonObject | None
    status: int
    answers: dict[str, Any]
    holds: Sequence[Turn] = ()
    is_forgotten: bool = False


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

    def forget(self, deleted: Sequence[Turn]) -> None:
        """Forget the answers that hold one of these messages."""
        for posted in self.posted:
            if any(turn in deleted for turn in posted.holds):
                posted.is_forgotten = True

    def rated(self, kind: str, rating: int | None) -> list[tuple[Chat, Turn]]:
        """Return the messages with feedback, newest first, and their sessions."""
        found = [
            (chat, turn)
            for chat in self.chats
            for turn in chat.turns
            if turn.feedback and rating in (None, turn.feedback.get("rating"))
            if not chat.is_deleted
        ]
        return sorted(found, key=lambda each: each[1].ids[kind], reverse=True)

    def in_order(self, kind: str) -> list[Chat]:
        """Return the sessions in list order: newest activity first, then id."""
        there = [chat for chat in self.chats if not chat.is_deleted]
        return sorted(there, key=lambda chat: place(chat, kind), reverse=True)


def place(chat: Chat, kind: str) -> tuple[datetime, str]:
    """Return the sort key of a session: last update, then id."""
    return chat.last_updated_at, chat.ids[kind]
