"""The meaning of replies to a caller, and the sessions stored at the end of the run."""

import threading
from collections.abc import Iterator
from typing import Any

from tests.support.waiting import Stuck
from tests.torture.board import SESSIONS
from tests.torture.connection import Connection, Reply
from tests.torture.history import Kind, Outcome, StoredSession

_MOST_TRIES = 10


def outcome(reply: Reply, key: str | None) -> Outcome:
    """Return what the caller knows after the reply."""
    if reply.error or reply.status is None or reply.status >= 500:
        return Outcome.UNKNOWN
    if reply.status < 300:
        return Outcome.ACKNOWLEDGED
    # A 409 for a key may mean that the first request is still running.
    is_told = not {"last_seq", "head_seq"}.isdisjoint(reply.body)
    is_busy = reply.status == 409 and key is not None and not is_told
    return Outcome.UNKNOWN if is_busy else Outcome.FAILED


def answer(kind: Kind, reply: Reply) -> Any:
    """Return the part of the reply that a Call keeps; None if there is none."""
    if reply.error or reply.status not in (200, 201, 409):
        return None
    if reply.status == 409:
        return reply.body.get("last_seq", reply.body.get("head_seq"))
    if kind is Kind.CREATE:
        return reply.body["id"]
    return [_message(reply.body)] if kind is Kind.APPEND else messages(reply)


def messages(reply: Reply) -> list[Any]:
    """Return the messages of a list or batch as [seq, timestamp, content, parent]."""
    return [_message(each) for each in reply.body["messages"]]


def _message(body: dict[str, Any]) -> list[Any]:
    parent = body.get("parent_seq", body["seq"] - 1)
    return [body["seq"], body["timestamp"], body["content"], parent]


def read_stored(port: int) -> Iterator[tuple[str, StoredSession]]:
    """Yield every session with all its messages, at the end of the run."""
    connection = Connection(port, threading.Event())
    query = "?limit=1000"
    while query:
        page = _read_surely(connection, SESSIONS + query)
        for session in page.body["sessions"]:
            listing = _read_surely(connection, f"{SESSIONS}{session['id']}/messages")
            yield session["id"], StoredSession(session["name"], messages(listing))
        cursor = page.body["next_cursor"]
        query = f"?limit=1000&cursor={cursor}" if cursor else ""
    connection.close()


def _read_surely(connection: Connection, path: str) -> Reply:
    for _ in range(_MOST_TRIES):
        connection.connect()
        reply = connection.ask("GET", path)
        if reply.status == 200 and not reply.error:
            return reply
    raise Stuck(f"GET {path}, when all was over: {reply.status} {reply.error}")
