"""A client that keeps a copy of its sessions, and only applies changes to it."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tests.support.api import API, SESSIONS

# Sends a GET; returns the status and the JSON of the answer.
Get = Callable[[str], tuple[int, Any]]
Copy = dict[str, tuple[dict[str, Any], dict[int, dict[str, Any]]]]


class Follower:
    """A copy of all sessions and messages, kept right by the change feed.

    `copy` has the session and its messages by seq, for each session id. An error of
    `get` passes through; the step can then be repeated.
    """

    def __init__(self, get: Get) -> None:
        self._get = get
        self.copy: Copy = {}
        self.token: str | None = None
        self.restarts = 0

    def step(self, *, limit: int = 100) -> bool:
        """Apply a page of changes; return whether the next one has more."""
        if self.token is None:
            self._begin()
            return True
        query = urlencode({"since": self.token, "limit": limit})
        status, page = self._get(f"{API}/changes?{query}")
        if status == 410:
            self.token = None
            return True
        assert status == 200, page
        assert bool(page["changes"]) or not page["has_more"]
        for change in page["changes"]:
            self._apply(change)
        self.token = page["next"]
        return bool(page["has_more"])

    def catch_up(self, *, limit: int = 100) -> None:
        """Apply all pages."""
        while self.step(limit=limit):
            pass

    def _begin(self) -> None:
        self.restarts += 1
        status, page = self._get(f"{API}/changes")
        assert status == 200, page
        # First the token, then the sessions: what changes meanwhile is told later.
        self.copy = read_everything(self._get)
        self.token = page["next"]

    def _apply(self, change: dict[str, Any]) -> None:
        session_id = change["session_id"]
        if change.get("deleted"):
            self.copy.pop(session_id, None)
        elif change["kind"] == "message":
            self._read_message(session_id, change["seq"])
        else:
            self._read_session(session_id, is_new=change.get("is_new", False))

    def _read_message(self, session_id: str, seq: int) -> None:
        known = self.copy.get(session_id, ({}, {}))[1]
        if seq > max(known, default=0):
            # A change of the session brings it, with the messages before it.
            return
        status, page = self._get(
            f"{SESSIONS}{session_id}/messages?after={seq - 1}&limit=1"
        )
        if status == 404:
            return  # a change tells the deletion
        assert status == 200, page
        for message in page["messages"]:
            known[message["seq"]] = message

    def _read_session(self, session_id: str, *, is_new: bool) -> None:
        status, chat = self._get(f"{SESSIONS}{session_id}")
        if status == 404:
            self.copy.pop(session_id, None)
            return
        assert status == 200, chat
        known = {} if is_new else self.copy.get(session_id, ({}, {}))[1]
        after = max(known, default=0)
        status, page = self._get(f"{SESSIONS}{session_id}/messages?after={after}")
        if status == 404:
            self.copy.pop(session_id, None)
            return
        assert status == 200, page
        new = {message["seq"]: message for message in page["messages"]}
        self.copy[session_id] = (chat, known | new)


def read_everything(get: Get) -> Copy:
    """Return all sessions with all messages, without the change feed."""
    copy: Copy = {}
    query = {"archived": "any", "limit": "20"}
    while True:
        status, page = get(f"{SESSIONS}?{urlencode(query)}")
        assert status == 200, page
        for chat in page["sessions"]:
            status, whole = get(f"{SESSIONS}{chat['id']}/messages")
            if status == 404:
                continue
            assert status == 200, whole
            messages = {message["seq"]: message for message in whole["messages"]}
            copy[chat["id"]] = (chat, messages)
        if page["next_cursor"] is None:
            return copy
        query["cursor"] = page["next_cursor"]
