#!/usr/bin/env python3
"""A client that always has what the server has, and whose changes are never lost.

    python examples/synced_client.py http://127.0.0.1:8000 copy.db sync
    python examples/synced_client.py http://127.0.0.1:8000 copy.db say "Hello"

Its copy and its outbox are one SQLite file, so the client may be killed at any time,
and so may the server. docs/clients.md explains it. Needs Python and nothing else.
"""

import argparse
import http.client
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

API = "/api/v1"
PAGE = 100
# Statuses that say "not now"; everything else is an answer.
NOT_NOW = (408, 429, 502, 503, 504)
SCHEMA = """
CREATE TABLE IF NOT EXISTS place (token TEXT);
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, session TEXT);
CREATE TABLE IF NOT EXISTS messages (session_id TEXT, seq INTEGER, message TEXT,
    PRIMARY KEY (session_id, seq));
CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT, method TEXT, path TEXT, body TEXT);
"""

Json = dict[str, Any]


class Unreachable(Exception):
    """The server does not answer now; the same request may be sent again."""


class Refused(Exception):
    """The server answered with an error, and would do so again."""

    def __init__(self, status: int, problem: Any) -> None:
        super().__init__(f"{status} {problem}")
        self.status = status


class SyncedClient:
    """A copy of the caller's sessions and messages, and an outbox of its changes."""

    def __init__(self, url: str, path: str, *, timeout: float = 60) -> None:
        self._address, self._timeout = urlsplit(url), timeout
        self._copy = sqlite3.connect(path)
        self._copy.executescript(SCHEMA)
        self.refusals: list[Refused] = []

    # Reading: the copy follows the server.

    def sync(self, *, wait: float = 0) -> bool:
        """Apply all changes; return whether there were any.

        If there are none, wait for them for up to `wait` seconds. Raises Unreachable;
        the pages that were applied before stay in the copy.
        """
        token = self._token()
        if token is None:
            self._read_everything()
            return True
        has_changed, page = False, {"has_more": True}
        while page["has_more"]:
            try:
                page = self._get("/changes", since=token, limit=PAGE, wait=wait)
            except Refused as refused:
                if refused.status not in (400, 410):
                    raise
                # The token is too old, the server was restored from a backup, or its
                # secret key is new.
                self._read_everything()
                return True
            # The changes and the next token are stored together: a crash repeats a
            # page, and never skips one.
            with self._copy:
                for change in page["changes"]:
                    self._apply(change)
                self._store_token(page["next"])
            token, wait = page["next"], 0
            has_changed = has_changed or bool(page["changes"])
        return has_changed

    def _read_everything(self) -> None:
        # The token comes first: what changes while we read is then read again.
        token = self._get("/changes")["next"]
        with self._copy:
            self._copy.execute("DELETE FROM sessions")
            self._copy.execute("DELETE FROM messages")
            for session in self._all_sessions():
                self._update_session(session["id"])
            self._store_token(token)

    def _all_sessions(self) -> Iterator[Json]:
        # `created_at` does not change, so no session moves to another page meanwhile.
        order = {"archived": "any", "sort": "created_at", "order": "asc"}
        page = self._get("/sessions", limit=PAGE, **order)
        while True:
            yield from page["sessions"]
            if page["next_cursor"] is None:
                return
            cursor = page["next_cursor"]
            page = self._get("/sessions", limit=PAGE, cursor=cursor, **order)

    def _apply(self, change: Json) -> None:
        session_id = change["session_id"]
        if change.get("deleted") or change.get("is_new"):
            self._drop_session(session_id)
        if change.get("deleted"):
            return
        if change["kind"] == "session":
            self._update_session(session_id)
        # A message past the copy comes with the change of its session, after those
        # before it. To store it now would hide that they are missing.
        elif change["seq"] <= self._last_seq(session_id):
            self._read_messages(session_id, after=change["seq"] - 1, limit=1)

    def _update_session(self, session_id: str) -> None:
        try:
            session = self._get(f"/sessions/{session_id}")
        except Refused as refused:
            if refused.status != 404:
                raise
            self._drop_session(session_id)  # a later change would say so too
            return
        self._copy.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?)",
            (session_id, json.dumps(session)),
        )
        has_more = True
        while has_more:
            last_seq = self._last_seq(session_id)
            has_more = self._read_messages(session_id, after=last_seq, limit=PAGE)

    def _last_seq(self, session_id: str) -> int:
        query = "SELECT coalesce(max(seq), 0) FROM messages WHERE session_id = ?"
        last_seq: int = self._copy.execute(query, (session_id,)).fetchone()[0]
        return last_seq

    def _read_messages(self, session_id: str, **place: int) -> bool:
        """Store a page of messages; return whether there are more."""
        try:
            page = self._get(f"/sessions/{session_id}/messages", **place)
        except Refused as refused:
            if refused.status != 404:
                raise
            self._drop_session(session_id)
            return False
        self._copy.executemany(
            "INSERT OR REPLACE INTO messages VALUES (?, ?, ?)",
            [(session_id, each["seq"], json.dumps(each)) for each in page["messages"]],
        )
        has_more: bool = page["has_more"]
        return has_more

    def _drop_session(self, session_id: str) -> None:
        self._copy.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
        self._copy.execute("DELETE FROM messages WHERE session_id = ?", (session_id,))

    def _token(self) -> str | None:
        row = self._copy.execute("SELECT token FROM place").fetchone()
        return row[0] if row else None

    def _store_token(self, token: str) -> None:
        self._copy.execute("DELETE FROM place")
        self._copy.execute("INSERT INTO place VALUES (?)", (token,))

    def sessions(self) -> dict[str, Json]:
        """Return the copied sessions by id."""
        rows = self._copy.execute("SELECT id, session FROM sessions")
        return {id_: json.loads(session) for id_, session in rows}

    def messages(self, session_id: str) -> list[Json]:
        """Return the copied messages of a session, in the order of seq."""
        query = "SELECT message FROM messages WHERE session_id = ? ORDER BY seq"
        rows = self._copy.execute(query, (session_id,))
        return [json.loads(message) for (message,) in rows]

    # Writing: a change is in the outbox before it is sent.

    def create_session(self, **fields: Any) -> str:
        """Create a session, also without a connection; return its id."""
        session_id = str(uuid4())  # our own, so that messages can follow at once
        self._put("POST", "/sessions", fields | {"id": session_id})
        return session_id

    def say(self, session_id: str, content: str, **fields: Any) -> None:
        """Append a message."""
        path = f"/sessions/{session_id}/messages"
        self._put("POST", path, fields | {"content": content})

    def change_session(self, session_id: str, **fields: Any) -> None:
        """Set fields of a session."""
        self._put("PATCH", f"/sessions/{session_id}", fields)

    def delete_session(self, session_id: str) -> None:
        """Put a session into the trash."""
        self._put("DELETE", f"/sessions/{session_id}", None)

    def restore_session(self, session_id: str) -> None:
        """Undo the deletion of a session."""
        self._put("POST", f"/sessions/{session_id}/restore", {})

    def _put(self, method: str, path: str, body: Json | None) -> None:
        # The bytes are kept, because a retry with the same key must send the same.
        data = None if body is None else json.dumps(body)
        with self._copy:
            self._copy.execute(
                "INSERT INTO outbox (key, method, path, body) VALUES (?, ?, ?, ?)",
                (str(uuid4()), method, path, data),
            )

    def unsent(self) -> int:
        """Return how many changes are in the outbox."""
        count: int = self._copy.execute("SELECT count(*) FROM outbox").fetchone()[0]
        return count

    def flush(self) -> None:
        """Send the outbox, oldest first; raise Unreachable with the rest in it.

        A change that the server refuses is moved to `refusals`.
        """
        query = "SELECT * FROM outbox ORDER BY number LIMIT 1"
        while row := self._copy.execute(query).fetchone():
            number, key, method, path, body = row
            try:
                self._send(method, path, body, key=key)
            except Refused as refused:
                # The session is already gone, as the user wanted.
                if not (method == "DELETE" and refused.status == 404):
                    self.refusals.append(refused)
            with self._copy:
                self._copy.execute("DELETE FROM outbox WHERE number = ?", (number,))

    def run_once(self, *, pause: float = 0.5) -> None:
        """Send and apply until both are done, however often the server is away."""
        while True:
            try:
                self.flush()
                self.sync()
                return
            except Unreachable:
                time.sleep(pause)

    # Requests.

    def _get(self, path: str, **query: Any) -> Json:
        suffix = f"?{urlencode(query)}" if query else ""
        answer: Json = self._send("GET", path + suffix)
        return answer

    def _send(
        self, method: str, path: str, body: str | None = None, *, key: str | None = None
    ) -> Any:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if key is not None and method == "POST":
            headers["Idempotency-Key"] = key
        kind = (
            http.client.HTTPSConnection
            if self._address.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = kind(
            self._address.hostname or "", self._address.port, timeout=self._timeout
        )
        data = None if body is None else body.encode()
        try:
            connection.request(method, self._path(path), data, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(str(error)) from error
        finally:
            connection.close()
        if response.status in NOT_NOW:
            raise Unreachable(f"{response.status} {text.decode(errors='replace')}")
        content = json.loads(text) if text else None
        if response.status >= 400:
            raise Refused(response.status, content)
        return content

    def _path(self, path: str) -> str:
        return self._address.path.rstrip("/") + API + path


def main() -> int:
    """Run the command; 1 if the server refused a change."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="where chatstore listens: http://127.0.0.1:8000")
    parser.add_argument("copy", help="file of the copy and the outbox")
    parser.add_argument("action", choices=["sync", "say"])
    parser.add_argument("text", nargs="?", default="Hello", help="what to say")
    given = parser.parse_args()
    client = SyncedClient(given.url, given.copy)
    if given.action == "say":
        client.say(client.create_session(name=given.text[:255]), given.text)
    client.run_once()
    sessions = client.sessions()
    count = sum(len(client.messages(each)) for each in sessions)
    sys.stdout.write(f"{len(sessions)} sessions, {count} messages\n")
    for refused in client.refusals:
        sys.stderr.write(f"{refused}\n")
    return 1 if client.refusals else 0


if __name__ == "__main__":
    sys.exit(main())
