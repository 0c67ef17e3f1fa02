"""Reads what the search index should hold, to write it anew or to compare.

A batch is small enough for memory whatever its texts, and for writers to wait for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    column,
    func,
    literal,
    select,
    table,
    update,
)

from chatstore.analyzer import INDEXED_CHARACTERS
from chatstore.db import db
from chatstore.entries import (
    scopes_of,
)
from chatstore.models import ChatSession, Message
from chatstore.models.indexes import MESSAGES, NAMES
from chatstore.models.sessions import new_number
from chatstore.store.index import Entry, delete_keys, is_fts5, put_entries

BATCH = 500


@dataclass(frozen=True)
class Batch:
    """Some rows in the order of their keys, of which `last` is the last."""

    count: int
    last: int


def reindex_batch(index: str, *, after: int) -> Batch | None:
    """Write the entries of the next rows anew; None when there are no more."""
    entries = read_entries(index, after=after, is_locking=True)
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


def read_batches(index: str) -> Iterator[list[Entry]]:
    """Yield the entries that should be there, a batch at a time."""
    after = 0
    while entries := read_entries(index, after=after):
        yield entries
        after = entries[-1][0]


def find_unnumbered() -> Iterator[Any]:
    """Yield the ids of sessions that have a name and no number to be found by."""
    yield from db.session.scalars(
        select(ChatSession.id).where(
            ChatSession.number.is_(None), func.coalesce(ChatSession.name, "") != ""
        )
    )


def read_entries(
    index: str,
    *,
    after: int = 0,
    among: Iterable[int] | None = None,
    is_locking: bool = False,
) -> list[Entry]:
    """Return the entries of the next rows after a key, or of these rows."""
    key: Any = Message.id if index == MESSAGES else ChatSession.number
    query = _messages() if index == MESSAGES else _names()
    if is_locking:
        # An entry refers to its row: that must still be there at the end, and a
        # session must have the name that was read.
        query = query.with_for_update(read=True, key_share=index == MESSAGES)
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
        func.coalesce(ChatSession.former_owner_id, ChatSession.owner_id).label(
            "owner_id"
        ),
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
