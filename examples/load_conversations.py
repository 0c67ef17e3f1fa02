#!/usr/bin/env python3
"""Loads conversations into chatstore over its REST API, and reads them back.

    python examples/load_conversations.py http://127.0.0.1:8000 trees.jsonl

Each line of the file is a tree of messages:

    {"root": {"role", "content", "model"?, "rank"?, "replies": [...]}}

Its best path becomes a chat session. Needs Python and nothing else.
"""

import argparse
import http.client
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Message = dict[str, Any]
SESSIONS = "/api/v1/sessions/"
NAME_LENGTH = 60


class Refused(Exception):
    """The service answered something else than success."""


class Client:
    """One kept connection to the service."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = {
            "http": http.client.HTTPConnection,
            "https": http.client.HTTPSConnection,
        }
        if parts.scheme not in kind or not parts.hostname:
            raise Refused(
                f"{url} is not an address. Give, for example, http://127.0.0.1:8000"
            )
        self._connection = kind[parts.scheme](parts.hostname, parts.port, timeout=60)
        self._prefix = parts.path.rstrip("/")

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request; return the value of the answer, or raise Refused."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        self._connection.request(method, self._prefix + path, data, headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= 400:
            raise Refused(f"{method} {path}: {response.status} {text.decode()}")
        return json.loads(text)


def best_path(tree: Message) -> list[Message]:
    """Return the turns of the tree's best conversation, as messages to send.

    Of several replies the one ranked 0 is the best; of unranked ones, the first.
    """
    messages = []
    turn: Message | None = tree["root"]
    while turn is not None:
        message = {"role": turn["role"], "content": turn["content"]}
        if "model" in turn:
            message["metadata"] = {"model": turn["model"]}
        messages.append(message)
        turn = min(turn["replies"], key=_rank, default=None)
    return messages


def _rank(turn: Message) -> float:
    rank = turn.get("rank")
    return math.inf if rank is None else rank


def load(client: Client, messages: list[Message]) -> str:
    """Store the messages as a new session and return its id."""
    name = messages[0]["content"][:NAME_LENGTH]
    session_id: str = client.send("POST", SESSIONS, {"name": name})["id"]
    for message in messages:
        client.send("POST", f"{SESSIONS}{session_id}/messages", message)
    return session_id


def differences(
    sent: list[Message], chat: dict[str, Any], read: list[Message]
) -> Iterator[str]:
    """Yield a sentence for each way in which a session is not what was sent."""
    name = sent[0]["content"][:NAME_LENGTH]
    if chat["name"] != name:
        yield f"its name is {chat['name']!r}, not {name!r}"
    if not chat["message_count"] == len(read) == len(sent):
        yield (
            f"{len(sent)} messages were sent, {len(read)} read,"
            f" {chat['message_count']} counted"
        )
    for seq, (wanted, found) in enumerate(zip(sent, read, strict=False), start=1):
        if found["seq"] != seq:
            yield f"message {seq} has seq {found['seq']}"
        for key in ("role", "content", "metadata"):
            if found[key] != wanted.get(key):
                yield f"the {key} of message {seq} is {found[key]!r}"


def run(client: Client, trees: list[Message]) -> bool:
    """Load all trees, then read all of them; return whether they are equal."""
    loaded = []
    for number, tree in enumerate(trees, start=1):
        sent = best_path(tree)
        loaded.append((load(client, sent), sent))
        show_progress("loaded", number, len(trees))
    is_equal = True
    for number, (session_id, sent) in enumerate(loaded, start=1):
        chat = client.send("GET", f"{SESSIONS}{session_id}")
        read = client.send("GET", f"{SESSIONS}{session_id}/messages")["messages"]
        for difference in differences(sent, chat, read):
            is_equal = False
            sys.stdout.write(f"session {session_id}: {difference}\n")
        show_progress("read", number, len(trees))
    count = sum(len(sent) for _, sent in loaded)
    verdict = "read back equal" if is_equal else "NOT equal when read back"
    sys.stdout.write(f"{len(loaded)} sessions, {count} messages: {verdict}\n")
    return is_equal


def show_progress(done: str, number: int, total: int) -> None:
    """Keep a person informed on one line; say nothing to a file or pipe."""
    if sys.stderr.isatty():
        end = "\n" if number == total else ""
        sys.stderr.write(f"\r{done} {number} of {total}{end}")
        sys.stderr.flush()


def main() -> int:
    """Run the command; 1 if something was refused or differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="where chatstore listens: http://127.0.0.1:8000")
    parser.add_argument(
        "file", type=Path, help="conversation trees, one JSON object per line"
    )
    arguments = parser.parse_args()
    try:
        lines = arguments.file.read_text(encoding="utf-8").split("\n")
        trees = [json.loads(line) for line in lines if line.strip()]
        return 0 if run(Client(arguments.url), trees) else 1
    except (Refused, OSError, http.client.HTTPException, ValueError) as error:
        sys.stderr.write(f"{error or type(error).__name__}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
