"""Builds calls and messages of small histories for tests."""

from typing import Any

from tests.torture.history import Call, Kind, Outcome

SESSION = "5e55"


def instant(seq: int) -> str:
    return f"2026-01-02T03:04:05.{seq:06}Z"


def row(seq: int, content: str, parent: int | None = None) -> list[Any]:
    """Return a message; without a parent it follows the one before."""
    return [seq, instant(seq), content, seq - 1 if parent is None else parent]


def stored(*contents: str) -> list[list[Any]]:
    """Return stored messages with seq 1, 2, 3 …"""
    return [row(seq, content) for seq, content in enumerate(contents, start=1)]


def call(kind: Kind, outcome: Outcome, at: float, **more: Any) -> Call:
    more.setdefault("session", SESSION)
    return Call(kind=kind, outcome=outcome, invoked=at, finished=at + 1, **more)


def appended(*tokens: str, seq: int, at: float = 1, **more: Any) -> Call:
    """Return an acknowledged append, or a batch for several tokens."""
    kind = Kind.APPEND if len(tokens) == 1 else Kind.BATCH
    answer = [row(number, token) for number, token in enumerate(tokens, start=seq)]
    if more.get("parent_seq") is not None:
        answer[0][3] = more["parent_seq"]
    more = {"status": 201, "answer": answer} | more
    return call(kind, Outcome.ACKNOWLEDGED, at, tokens=tokens, **more)


def unknown(*tokens: str, at: float = 1, **more: Any) -> Call:
    kind = Kind.APPEND if len(tokens) == 1 else Kind.BATCH
    return call(kind, Outcome.UNKNOWN, at, tokens=tokens, **more)


def refused(token: str, *, expected: int, last_seq: int, at: float = 1) -> Call:
    more = {"tokens": [token], "expected_seq": expected, "answer": last_seq}
    return call(Kind.APPEND, Outcome.FAILED, at, status=409, **more)


def read(*contents: str, after: int = 0, at: float = 10, **more: Any) -> Call:
    answer = [row(number, each) for number, each in enumerate(contents, after + 1)]
    more = {"status": 200, "answer": answer, "after": after} | more
    return call(Kind.READ, Outcome.ACKNOWLEDGED, at, **more)


def created(name: str, session: str = SESSION, **more: Any) -> Call:
    more = {"tokens": [name], "session": None, "answer": session} | more
    return call(Kind.CREATE, Outcome.ACKNOWLEDGED, 0, status=201, **more)


# Keeps every promise if a b c d e f i are stored at the end.
CLEAN = [
    appended("a", seq=1, at=1),
    unknown("b", at=3, key="k1"),
    appended("b", seq=2, at=5, key="k1", is_replayed=True),
    appended("c", "d", "e", seq=3, at=5, key="k2"),
    appended("f", seq=6, at=7, expected_seq=6),
    refused("g", expected=6, last_seq=6, at=7.5),
    unknown("h", at=9),
    unknown("i", at=9),
    unknown("j", "k", at=9, key="k3"),
    read("a", "b", "c", "d", "e", "f", at=8.5),
    read("c", "d", after=2, limit=2, at=12),
    read("f", "i", after=5, at=12),
    read("f", "i", after=5, limit=3, at=12),
    read(after=7, at=12),
    call(Kind.READ, Outcome.UNKNOWN, 12, error="IncompleteRead"),
]
