"""The clients' requests and answers, kept as JSON lines; knows nothing of HTTP."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

# [seq, timestamp, content, seq of its parent], as in the JSON lines.
Message = Sequence[Any]


class Kind(StrEnum):
    """The kinds of calls."""

    CREATE = "create"
    APPEND = "append"
    BATCH = "batch"
    READ = "read"


class Outcome(StrEnum):
    """The caller's knowledge after a call: done, no effect, or neither."""

    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request and its outcome; times are from time.monotonic().

    `tokens` are the contents sent, or the name of the session to create. `answer` is
    a list of messages stored or read, the id of the created session, or the last_seq
    that came with a conflict. The head of these sessions is always their last message,
    so `expected_seq` stands for `expected_head` too, plus 1.
    """

    kind: Kind
    invoked: float
    finished: float
    outcome: Outcome
    client: int = 0
    session: str | None = None
    tokens: Sequence[str] = ()
    key: str | None = None
    expected_seq: int | None = None
    parent_seq: int | None = None
    after: int = 0
    limit: int | None = None
    status: int | None = None
    is_replayed: bool = False
    answer: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as read at the end of the run."""

    name: str | None
    messages: Sequence[Message]


@dataclass
class History:
    """All calls, and the sessions at the end by id."""

    calls: list[Call] = field(default_factory=list)
    stored: dict[str, StoredSession] = field(default_factory=dict)


class Recorder:
    """Appends to a history file and counts calls; thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.acknowledged_appends = 0
        self._file = path.open("wb")
        self._lock = threading.Lock()

    def add_call(self, call: Call) -> None:
        line = orjson.dumps(call, option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            self._file.write(line)
            self.outcomes[f"{call.kind} {call.outcome}"] += 1
            self.statuses[str(call.status or call.error)] += 1
            is_append = call.kind in (Kind.APPEND, Kind.BATCH)
            is_done = call.outcome is Outcome.ACKNOWLEDGED and not call.is_replayed
            if is_append and is_done:
                self.acknowledged_appends += len(call.tokens)

    def add_stored(self, session: str, stored: StoredSession) -> None:
        line = orjson.dumps(
            {"stored": session, "name": stored.name, "messages": stored.messages},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        with self._lock:
            self._file.write(line)

    def add_disruption(self, name: str, started: float) -> None:
        """Record a disruption and its times, to help find the cause of a violation."""
        times = {"started": started, "finished": time.monotonic()}
        line = orjson.dumps(
            {"disruption": name, **times}, option=orjson.OPT_APPEND_NEWLINE
        )
        with self._lock:
            self._file.write(line)

    def close(self) -> None:
        self._file.close()


def read_history(path: Path) -> History:
    """Read a Recorder's file; ignore a last line that was cut short."""
    history = History()
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            row = orjson.loads(line)
            if "stored" in row:
                stored = StoredSession(row["name"], row["messages"])
                history.stored[row["stored"]] = stored
                continue
            if "disruption" in row:
                continue
            row["kind"] = Kind(row["kind"])
            row["outcome"] = Outcome(row["outcome"])
            history.calls.append(Call(**row))
    return history
