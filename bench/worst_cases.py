"""The worst requests within the limits: one function per case, all in `CASES`.

A case fills in its data and returns one run per round. It returns no runs where the
kind of database has no such case.
"""

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson

from bench.contenders import Client
from bench.inside import connection_to, is_deleting
from bench.others import send_once
from bench.texts import Texts

_BULK = 10_000
_SESSIONS = "/api/v1/sessions/"
_BODY_BYTES = 8 * 1024 * 1024
_CONTENT_BYTES = 1024 * 1024
_BATCH_BYTES = 7_800_000
_WORD, _CHINESE_WORD = "pension", "数据"
_LOOK_SECONDS, _HELD_SECONDS, _PATIENCE_SECONDS = 0.02, 3, 300


@dataclass(frozen=True)
class Run:
    """`send` sends to a port and returns the statuses as text.

    `settle` waits for work that goes on after the answer; returns whether it ended.
    """

    send: Callable[[int], str]
    settle: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Ground:
    """The server to fill, the number of rounds, and the factor of all sizes."""

    url: str
    port: int
    rounds: int
    factor: float = 1

    def part(self, whole: int) -> int:
        """Return `whole` times the factor."""
        return max(2, round(whole * self.factor))

    def create(self, **fields: Any) -> str:
        """Create a session and return its path."""
        with Client(self.port) as client:
            status, answer = client.send("POST", _SESSIONS, fields)
        if status != 201:
            raise RuntimeError(f"a session was refused: {status} {answer[:200]!r}")
        return f"{_SESSIONS}{orjson.loads(answer)['id']}"

    def create_with(self, turns: list[dict[str, Any]]) -> str:
        """Create a session with messages of about the same size, in batches."""
        path = self.create()
        most = min(1000, max(1, _BATCH_BYTES // len(orjson.dumps(turns[0]))))
        for first in range(0, len(turns), most):
            body = orjson.dumps({"messages": turns[first : first + most]})
            status = send_once(self.port, "POST", f"{path}/messages/batch", body)
            if status != 201:
                raise RuntimeError(f"a batch was refused: {status}")
        return path


Case = Callable[[Ground], list[Run]]


def bulk_size(factor: float) -> int:
    """Return the most sessions that a bulk request may change, times `factor`."""
    return max(1, round(_BULK * factor))


def sent(method: str, path: str, body: bytes | None = None) -> Run:
    """Return a run that sends one request."""
    return Run(lambda port: str(send_once(port, method, path, body)))


def english(characters: int) -> str:
    """Return made-up English words."""
    pieces = (_texts().of_length(1000) for _ in range(characters // 1000 + 1))
    return " ".join(pieces)[:characters]


@cache
def _texts() -> Texts:
    return Texts(1, seed=5)


def chinese(characters: int, *, line: int = 0) -> str:
    """Return made-up Chinese; with `line`, in paragraphs of that length."""
    some = [chr(0x4E00 + number) for number in range(3000)]
    text = "".join(random.Random(6).choices(some, k=characters))
    if not line:
        return text
    return "\n".join(text[each : each + line] for each in range(0, characters, line))


def append_batch(
    ground: Ground, *, write: Callable[[int], str], width: int
) -> list[Run]:
    """Append a thousand messages, 7.8 MB in total."""
    messages = ground.part(1000)
    text = write(_BATCH_BYTES // width)
    size = len(text) // messages if ground.factor == 1 else 100
    turns = [{"content": text[n * size : (n + 1) * size]} for n in range(messages)]
    path, body = ground.create(), orjson.dumps({"messages": turns})
    return [sent("POST", f"{path}/messages/batch", body)] * ground.rounds


def append_one(ground: Ground, *, write: Callable[[int], str], width: int) -> list[Run]:
    """Append a message of 1 MiB."""
    body = orjson.dumps({"content": write(ground.part(_CONTENT_BYTES) // width)})
    return [sent("POST", f"{ground.create()}/messages", body)] * ground.rounds


def search_page(
    ground: Ground, *, write: Callable[[int], str], word: str, messages: int, size: int
) -> list[Run]:
    """Search 20 hits with the word in the middle and at the end of each text."""
    text = write(ground.part(size))
    within = f" {word} ".join([text[: len(text) // 2], text[len(text) // 2 :]])
    turns = [{"content": f"{within} {word}"}] * messages
    return search_in(ground, turns, word)


def search_in(ground: Ground, turns: list[dict[str, Any]], query: str) -> list[Run]:
    """Search for 20 hits in a session with these messages."""
    session_id = ground.create_with(turns).removeprefix(_SESSIONS)
    path = f"/api/v1/search?q={quote(query)}&session_id={session_id}&limit=20"
    with Client(ground.port) as client:
        _, answer = client.send("GET", path)
    if len(orjson.loads(answer)["hits"]) != min(20, len(turns)):
        raise RuntimeError(f"{query[:20]} is not found: {answer[:200]!r}")
    return [sent("GET", path)] * ground.rounds


def search_ligatures(ground: Ground) -> list[Run]:
    """Search a message full of one character that folds to 18 characters."""
    turns = [{"content": "\ufdfa" * ground.part(340_000)}]
    return search_in(ground, turns, '"الله عليه"')


def search_repeated(ground: Ground, *, characters: int) -> list[Run]:
    """Search a phrase of 385 characters that almost matches at every word."""
    words = "aaa " * (ground.part(characters) // 4)
    phrase = "aaa " * 95 + "aab"
    return search_in(ground, [{"content": f"{words}{phrase}"}], f'"{phrase}"')


def list_metadata(ground: Ground) -> list[Run]:
    """List messages of one letter, each with 65 kB of metadata."""
    turn = {"content": "x", "metadata": {"text": "x" * 65_000}}
    path = ground.create_with([turn] * ground.part(500))
    return [sent("GET", f"{path}/messages?limit=500")] * ground.rounds


def list_documents(ground: Ground) -> list[Run]:
    """List sessions with a thousand document ids of 512 characters each."""
    numbers = count()
    for _ in range(ground.part(40)):
        ids = [f"{next(numbers):0>512}" for _ in range(ground.part(1000))]
        ground.create(rag_document_ids=ids)
    return [sent("GET", f"{_SESSIONS}?limit=1000")] * ground.rounds


def delete_session(ground: Ground) -> list[Run]:
    """Delete a session with 8 messages of 1 MiB."""
    turns = [{"content": english(ground.part(_CONTENT_BYTES))}] * 8
    paths = [ground.create_with(turns) for _ in range(ground.rounds)]
    gone = partial(_wait_until_gone, ground.url)
    runs = [sent("DELETE", f"{path}?purge=true") for path in paths]
    return [replace(run, settle=gone) for run in runs]


def _wait_until_gone(url: str) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while is_left := is_deleting(url):
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK_SECONDS)
    return not is_left


def tag_many(ground: Ground) -> list[Run]:
    """Tag as many sessions as one request may change, with a new tag each round."""
    (ids, *_) = _filled_ids(ground)
    return [
        _bulk({"action": "add_tags", "tags": [f"tag {number}"], "ids": ids})
        for number in range(ground.rounds)
    ]


def delete_many(ground: Ground) -> list[Run]:
    """Delete as many sessions as one request may change, different ones each round."""
    bodies = [{"action": "purge", "ids": ids} for ids in _filled_ids(ground)]
    gone = partial(_wait_until_gone, ground.url)
    return [replace(_bulk(body), settle=gone) for body in bodies]


def _bulk(body: dict[str, Any]) -> Run:
    return sent("POST", f"{_SESSIONS}bulk", orjson.dumps(body))


def _filled_ids(ground: Ground) -> list[list[str]]:
    """Return the ids of the sessions filled in at the start, grouped by round."""
    size = bulk_size(ground.factor)
    with connection_to(ground.url) as connection:
        rows = connection.execute(
            f"SELECT id FROM sessions ORDER BY created_at LIMIT {size * ground.rounds}"
        ).fetchall()
    ids = [str(UUID(str(row[0]))) for row in rows]
    return [ids[n * size : (n + 1) * size] for n in range(ground.rounds)]


def body_of(ground: Ground, *, write: Callable[[int], bytes]) -> list[Run]:
    """Append a message with a body of 8 MiB that is expensive to parse."""
    body = write(ground.part(_BODY_BYTES) - 100)
    return [sent("POST", f"{ground.create()}/messages", body)] * ground.rounds


def many_values(size: int) -> bytes:
    """Return a body with as many empty lists as allowed."""
    values = b",".join([b"[]"] * min(size // 3, 495_000))
    return b'{"content": "x", "metadata": {"a": [' + values + b"]}}"


def many_keys(size: int, *, digits: int) -> bytes:
    """Return a body of different keys; 12 digits stay in the limit, 7 exceed it."""
    each = b'"%%0%dd":0' % digits
    keys = b",".join(each % number for number in range(size // (digits + 5)))
    return b'{"content": "x", "metadata": {' + keys + b"}}"


def many_brackets(size: int) -> bytes:
    """Return deeply nested lists."""
    return b"[" * (size // 2) + b"]" * (size // 2)


def many_escapes(size: int) -> bytes:
    """Return a text in which every character is an escape."""
    return b'{"content": "' + b"\\u4e2d" * (size // 6) + b'"}'


def wait_for_row(ground: Ground) -> list[Run]:
    """Append eight times to a session whose row another transaction has locked."""
    if ground.url.startswith("sqlite:"):
        return []
    path = ground.create()
    session_id = path.removeprefix(_SESSIONS)
    append = sent("POST", f"{path}/messages", b'{"content": "x"}')

    def run(port: int) -> str:
        with connection_to(ground.url) as connection:
            lock = "SELECT 1 FROM sessions WHERE id = %s FOR UPDATE"
            connection.execute(lock, [session_id])
            answers: list[str] = []
            threads = [
                threading.Thread(target=lambda: answers.append(append.send(port)))
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            time.sleep(_HELD_SECONDS)
            connection.rollback()
            for thread in threads:
                thread.join()
        return ", ".join(sorted(set(answers)))

    return [Run(run)] * ground.rounds


def stop_halfway(ground: Ground) -> list[Run]:
    """Send half a body, then nothing, until the server cuts off all uploads."""
    uploads = ground.part(160)
    half = (
        b"POST /api/v1/sessions/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        b'{"name": "'
    )

    def run(port: int) -> str:
        sockets = [
            socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
            for _ in range(uploads)
        ]
        for each in sockets:
            each.sendall(half)
        return ", ".join(sorted({_read_status(each) for each in sockets}))

    return [Run(run)] * ground.rounds


def _read_status(upload: socket.socket) -> str:
    with closing(upload):
        try:
            line = upload.recv(1000)
        except ConnectionError:
            line = b""
    return line.split()[1].decode() if line else "cut off"


_ENGLISH: dict[str, Any] = {"write": english, "width": 1}
_CHINESE: dict[str, Any] = {"write": chinese, "width": 3}
_LINE: dict[str, Any] = {"write": chinese, "word": _CHINESE_WORD}
_PARAGRAPHS = _LINE | {"write": partial(chinese, line=100)}
_WORDS: dict[str, Any] = {"write": english, "word": _WORD}
_HUNDRED: dict[str, Any] = {"messages": 100, "size": 4000}
_LONG: dict[str, Any] = {"messages": 20, "size": 99_000}
_REPEATED = "search a phrase in repeated words"
CASES: dict[str, Case] = {
    "append 1,000 messages of 7.8 MB, English": partial(append_batch, **_ENGLISH),
    "append 1,000 messages of 7.8 MB, Chinese": partial(append_batch, **_CHINESE),
    "append 1 MiB, English": partial(append_one, **_ENGLISH),
    "append 1 MiB, Chinese": partial(append_one, **_CHINESE),
    "search 100 × 4,000, English": partial(search_page, **_WORDS, **_HUNDRED),
    "search 100 × 4,000, Chinese line": partial(search_page, **_LINE, **_HUNDRED),
    "search 100 × 4,000, Chinese": partial(search_page, **_PARAGRAPHS, **_HUNDRED),
    "search 20 × 100,000, English": partial(search_page, **_WORDS, **_LONG),
    "search 20 × 100,000, Chinese line": partial(search_page, **_LINE, **_LONG),
    "search 340,000 × U+FDFA": search_ligatures,
    f"{_REPEATED}, 5 kB": partial(search_repeated, characters=5_000),
    f"{_REPEATED}, 99 kB": partial(search_repeated, characters=99_000),
    "list 500 messages with 65 kB of metadata": list_metadata,
    "list sessions with 1,000 document ids of 512": list_documents,
    "delete a session of 8 MiB": delete_session,
    "tag 10,000 sessions": tag_many,
    "delete 10,000 sessions": delete_many,
    "body of 495,000 empty lists": partial(body_of, write=many_values),
    "body of 8 MiB of keys": partial(body_of, write=partial(many_keys, digits=12)),
    "body of too many keys": partial(body_of, write=partial(many_keys, digits=7)),
    "body of 8 MiB of brackets": partial(body_of, write=many_brackets),
    "body of 8 MiB of escapes": partial(body_of, write=many_escapes),
    "8 appends to a row that is locked for 3 s": wait_for_row,
    "160 uploads that stop halfway": stop_halfway,
}
