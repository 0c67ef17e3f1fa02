"""Reads what the search index should hold, to write it anew or to compare.

A batch is small enough for memory whatever its texts, and for writers to wait for.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    column,
    func,
    literal,
    select,
    table,
    text,
    update,
)

from chatstore.analyzer import INDEXED_CHARACTERS
from chatstore.db import db
from chatstore.entries import (
    fts5_probe,
    fts5_words,
    scopes_of,
    tsvector_words,
)
from chatstore.models import ChatSession, Message
from chatstore.models.indexes import MESSAGES, NAMES
from chatstore.models.sessions import new_number
from chatstore.store.index import Entry, delete_keys, is_fts5, put_entries

BATCH = 500

_DIFFERENT = (
    "SELECT entry.id FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[]))"
    " AS entry (id, words) LEFT JOIN {index} AS found ON found.id = entry.id"
    " WHERE found.id IS NULL OR found.words <> CAST(entry.words AS tsvector)"
)


@dataclass(frozen=True)
class Batch:
    """Some rows in the order of their keys, of which `last` is the last."""

    count: int
    last: int


def reindex_batch(index: str, *, after: int) -> Batch | None:
    """Write the entries of the next rows anew; None when there are no more."""
    entries = _read(index, after=after, is_locking=True)
    if not entries:
        return None
    put_entries(index, entries)
    return Batch(len(entries), entries[-1][0])


def number_sessions() -> int:
    """Number sessions that an older version wrote; return of how many in this batch."""
    query = select(ChatSession.id, ChatSession.created_at).limit(BATCH)
    query = query.where(ChatSession.number.is_(None))
    chats = db.session.execute(query).all()
    for chat_id, created_at in chats:
        db.session.execute(
            update(ChatSession)
            .where(ChatSession.id == chat_id)
            .values(number=new_number(created_at))
            .execution_options(synchronize_session=False)
        )
    return len(chats)


def delete_strays(index: str) -> int:
    """Delete entries that no row stands behind any more; return how many."""
    strays = list(find_strays(index))
    for start in range(0, len(strays), BATCH):
        some = strays[start : start + BATCH]
        db.session.execute(delete_keys(index, some))
    return len(strays)


def find_strays(index: str) -> Iterator[int]:
    """Yield the keys of entries that no row stands behind."""
    # FTS5 keeps the sizes of its entries in a table behind it.
    keys = table(f"{index}_docsize" if is_fts5() else index, column("id", BigInteger))
    key = Message.id if index == MESSAGES else ChatSession.number
    query = select(keys.c.id).outerjoin_from(keys, key.class_, key == keys.c.id)
    without: ColumnElement[bool] = key.is_(None)
    if index == NAMES:
        without |= func.coalesce(ChatSession.name, "") == ""
    yield from db.session.scalars(query.where(without).order_by(keys.c.id))


def find_wrong(index: str) -> Iterator[int]:
    """Yield the keys of rows whose entry is missing, or of other words or scopes.

    A row that changes meanwhile is looked at again.
    """
    after = 0
    while entries := _read(index, after=after):
        after = entries[-1][0]
        wrong = _wrong(index, entries)
        if wrong:
            again = _read(index, among=wrong)
            yield from sorted(_wrong(index, again))


def find_unnumbered() -> Iterator[Any]:
    """Yield the ids of sessions that have a name and no number to be found by."""
    yield from db.session.scalars(
        select(ChatSession.id).where(
            ChatSession.number.is_(None), func.coalesce(ChatSession.name, "") != ""
        )
    )


def _read(
    index: str,
    *,
    after: int = 0,
    among: Iterable[int] | None = None,
    is_locking: bool = False,
) -> list[Entry]:
    key: Any = Message.id if index == MESSAGES else ChatSession.number
    query = _messages() if index == MESSAGES else _names()
    if is_locking:
        # An entry refers to its row: that must still be there at the end.
        query = query.with_for_update(read=True, key_share=True)
    wanted = key > after if among is None else key.in_(list(among))
    rows = db.session.execute(query.where(wanted).order_by(key).limit(BATCH))
    return [
        (row.key, row.text, scopes_of(row.owner_id, row.session_id, row.role))
        for row in rows
    ]


def _messages() -> Select[Any]:
    return select(
        Message.id.label("key"),
        func.substr(Message.content, 1, INDEXED_CHARACTERS).label("text"),
        ChatSession.owner_id,
        Message.session_id,
        Message.role,
    ).join_from(Message, ChatSession)


def _names() -> Select[Any]:
    columns: list[Any] = [
        ChatSession.number.label("key"),
        ChatSession.name.label("text"),
        ChatSession.owner_id,
        ChatSession.id.label("session_id"),
        literal("").label("role"),
    ]
    return select(*columns).where(ChatSession.name != "")


def _wrong(index: str, entries: Sequence[Entry]) -> list[int]:
    return (
        _wrong_fts5(index, entries) if is_fts5() else _wrong_tsvectors(index, entries)
    )


def _wrong_tsvectors(index: str, entries: Sequence[Entry]) -> list[int]:
    return list(
        db.session.scalars(
            text(_DIFFERENT.format(index=index)),
            {
                "ids": [key for key, _, _ in entries],
                "words": [
                    tsvector_words(words, scopes) for _, words, scopes in entries
                ],
            },
        )
    )


def _wrong_fts5(index: str, entries: Sequence[Entry]) -> list[int]:
    # What is in an entry FTS5 tells only to who knows it: how many words, and whether
    # the first of them follow each other there, in these scopes.
    sizes = table(
        f"{index}_docsize", column("id", BigInteger), column("sz", LargeBinary)
    )
    keys = [key for key, _, _ in entries]
    rows = db.session.execute(select(sizes).where(sizes.c.id.in_(keys)))
    found: dict[int, bytes] = {row.id: row.sz for row in rows}
    probe = text(f"SELECT 1 FROM {index} WHERE rowid = :key AND {index} MATCH :probe")  # nosec B608
    wrong = []
    for key, content, scopes in entries:
        words = fts5_words(content).split()
        is_right = found.get(key) == _varints(len(words), len(scopes))
        if is_right:
            asked = {"key": key, "probe": fts5_probe(words, scopes)}
            is_right = db.session.scalar(probe, asked) is not None
        if not is_right:
            wrong.append(key)
    return wrong


def _varints(*numbers: int) -> bytes:
    """Return numbers as SQLite writes them: 7 bits a byte, the last without its 8th."""
    written = b""
    for number in numbers:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        written += bytes(reversed(digits))
    return written
