"""Rewrites the entries of the search index from the rows, or reads them to compare.

The bytes of a batch are bounded, so it fits into memory and writers wait briefly.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    case,
    column,
    delete,
    func,
    literal,
    select,
    table,
    update,
)

from chatstore.db import db, is_sqlite, prepared_first, run_read
from chatstore.fulltext.index_format import (
    MESSAGES,
    NAMES,
    PENDING,
    scopes_of,
)
from chatstore.fulltext.words import INDEXED_CHARACTERS
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import OWNER, new_number
from chatstore.store.batches import fitting
from chatstore.store.search.entries import (
    Entry,
    delete_keys,
    put_words,
    words_of,
)
from chatstore.store.search.searched import SEARCHED, SEARCHED_BYTES

BATCH = 500
# A batch with more text than this has one row only.
BATCH_BYTES = 1024 * 1024
_MAX_BYTES = 4 * INDEXED_CHARACTERS
_INDEXED_BYTES = case((SEARCHED_BYTES < _MAX_BYTES, SEARCHED_BYTES), else_=_MAX_BYTES)
_PENDING = table(PENDING, column("id", BigInteger))


@dataclass(frozen=True)
class Batch:
    """The number of rows in a batch, and the `last` of their keys."""

    count: int
    last: int


@prepared_first
def reindex_batch(
    index: str, *, after: int, max_bytes: int = BATCH_BYTES
) -> Callable[[], Batch | None]:
    """Rewrite the entries of the next rows; return None when no rows are left.

    The words are prepared before the transaction. The transaction skips rows that were
    deleted or changed meanwhile, because those changes updated the entries too.
    """
    rows = run_read(_read_rows, index, after=after, max_bytes=max_bytes)
    write_entries = _prepare_writing(index, rows)

    def write() -> Batch | None:
        if not rows:
            return None
        write_entries()
        last = rows[-1].key
        if index == MESSAGES and is_sqlite():
            db.session.execute(
                delete(_PENDING).where(_PENDING.c.id.between(after + 1, last))
            )
        return Batch(len(rows), last)

    return write


@prepared_first
def reindex_keys(index: str, keys: Sequence[int]) -> Callable[[], int]:
    """Rewrite the entries with the first of these keys; return how many keys it took.

    Entries without a row stay. `reindex_batch` says more.
    """
    some = run_read(_fitting, keys[:BATCH]) if index == MESSAGES else keys[:BATCH]
    rows = run_read(_read_rows, index, keys=some)
    write_entries = _prepare_writing(index, rows)

    def write() -> int:
        write_entries()
        return len(some)

    return write


@prepared_first
def index_pending(*, until: int, max_rows: int = BATCH) -> Callable[[], bool]:
    """Write the entries of the next pending messages with `id <= until`.

    Returns False when no such message was pending. SQLite only.
    """
    keys = run_read(_next_pending, until, max_rows)
    rows = run_read(_read_rows, MESSAGES, keys=keys) if keys else []
    write_entries = _prepare_writing(MESSAGES, rows)

    def write() -> bool:
        done = delete(_PENDING).where(_PENDING.c.id.in_(keys))
        # If none is pending any more, another process has written the entries.
        if db.session.scalars(done.returning(_PENDING.c.id)).all():
            write_entries()
        return bool(keys)

    return write


def last_pending() -> int:
    """Return the greatest id of a pending message, or 0."""
    if not is_sqlite():
        return 0
    return db.session.scalar(select(func.max(_PENDING.c.id))) or 0


def _next_pending(until: int, max_rows: int) -> list[int]:
    pending = select(_PENDING.c.id).where(_PENDING.c.id <= until)
    keys = db.session.scalars(pending.order_by(_PENDING.c.id).limit(max_rows)).all()
    return _fitting(keys)


def _fitting(keys: Sequence[int]) -> list[int]:
    """Return the first of these ids of messages, whose texts fit into a batch."""
    sizes = select(Message.id, _INDEXED_BYTES).where(Message.id.in_(keys))
    rows: Sequence[Any] = db.session.execute(sizes).all()
    bytes_of = dict(rows)
    return fitting(keys, lambda key: bytes_of.get(key, 0), BATCH_BYTES)


def _prepare_writing(index: str, rows: Sequence[Row[Any]]) -> Callable[[], None]:
    entries = _entries(rows)
    words = [words_of(text, scopes) for _, text, scopes in entries]
    versions = {row.key: row.version for row in rows}
    keys = list(versions)

    def write() -> None:
        present = _lock_rows(index, keys)
        same = [
            (key, each)
            for key, each in zip(keys, words, strict=True)
            if present.get(key) == versions[key]
        ]
        if same:
            put_words(index, [key for key, _ in same], [each for _, each in same])

    return write


def _lock_rows(index: str, keys: list[int]) -> dict[int, int | str]:
    """Lock the rows that still exist, and return their versions by key.

    The version of a message is its revision. A name is its own version.
    """
    if index == MESSAGES:
        query = select(Message.id, Message.revision).where(Message.id.in_(keys))
        locking = query.with_for_update(read=True)
    else:
        query = select(ChatSession.number, func.coalesce(ChatSession.name, ""))
        locking = query.where(ChatSession.number.in_(keys)).with_for_update(read=True)
    rows: Sequence[Any] = db.session.execute(locking).all()
    return dict(rows)


def number_sessions() -> int:
    """Number a batch of sessions that an older version wrote; return how many."""
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


@prepared_first
def delete_strays(index: str, *, limit: int | None = None) -> Callable[[], int]:
    """Delete up to `limit` entries that have no row; return how many were found.

    The search for them runs before the transaction, which rechecks only those found.
    """
    found = run_read(lambda: list(islice(find_strays(index), limit)))

    def delete() -> int:
        for start in range(0, len(found), BATCH):
            chunk = found[start : start + BATCH]
            strays = list(find_strays(index, keys=chunk))
            db.session.execute(delete_keys(index, strays))
        return len(found)

    return delete


def find_strays(index: str, *, keys: Collection[int] | None = None) -> Iterator[int]:
    """Yield the keys of entries that have no row, of all entries or only of `keys`."""
    # FTS5 keeps one row per entry in a shadow table with sizes.
    entries = table(
        f"{index}_docsize" if is_sqlite() else index, column("id", BigInteger)
    )
    key = Message.id if index == MESSAGES else ChatSession.number
    query = select(entries.c.id).outerjoin_from(
        entries, key.class_, key == entries.c.id
    )
    without: ColumnElement[bool] = key.is_(None)
    if index == NAMES:
        without |= func.coalesce(ChatSession.name, "") == ""
    if keys is not None:
        query = query.where(entries.c.id.in_(keys))
    yield from db.session.scalars(query.where(without).order_by(entries.c.id))


def read_batches(index: str) -> Iterator[list[Entry]]:
    """Yield the entries that the index should hold, in batches."""
    after = 0
    while entries := read_entries(index, after=after):
        after = entries[-1][0]
        pending = _find_pending(index, entries)
        yield [entry for entry in entries if entry[0] not in pending]


def _find_pending(index: str, entries: Sequence[Entry]) -> set[int]:
    if index != MESSAGES or not is_sqlite():
        return set()
    keys = _PENDING.c.id.between(entries[0][0], entries[-1][0])
    return set(db.session.scalars(select(_PENDING.c.id).where(keys)))


def find_unnumbered() -> Iterator[Any]:
    """Yield the ids of named sessions without a number, which search cannot find."""
    yield from db.session.scalars(
        select(ChatSession.id).where(
            ChatSession.number.is_(None), func.coalesce(ChatSession.name, "") != ""
        )
    )


def read_entries(
    index: str,
    *,
    after: int = 0,
    keys: Iterable[int] | None = None,
    is_locking: bool = False,
    max_bytes: int = BATCH_BYTES,
) -> list[Entry]:
    """Return the entries of the next rows with `key > after`, or of these `keys`."""
    rows = _read_rows(
        index,
        after=after,
        keys=keys,
        is_locking=is_locking,
        max_bytes=max_bytes,
    )
    return _entries(rows)


def _entries(rows: Sequence[Row[Any]]) -> list[Entry]:
    return [
        (row.key, row.text, scopes_of(row.owner_id, row.session_id, row.role))
        for row in rows
    ]


def _read_rows(
    index: str,
    *,
    after: int = 0,
    keys: Iterable[int] | None = None,
    is_locking: bool = False,
    max_bytes: int = BATCH_BYTES,
) -> Sequence[Row[Any]]:
    key: Any = Message.id if index == MESSAGES else ChatSession.number
    query = _messages() if index == MESSAGES else _names()
    if is_locking:
        # An entry refers to its row, so until the commit the row must exist, with the
        # text that was read.
        query = query.with_for_update(read=True)
    is_next = key > after
    if keys is not None:
        is_next = key.in_(list(keys))
    elif index == MESSAGES:
        is_next = key.in_(_next_messages(after, max_bytes))
    return db.session.execute(query.where(is_next).order_by(key).limit(BATCH)).all()


def _next_messages(after: int, max_bytes: int) -> list[int]:
    """Return the ids of the next messages with at most `max_bytes` of indexed text."""
    sizes = db.session.execute(
        select(Message.id, _INDEXED_BYTES)
        .where(Message.id > after)
        .order_by(Message.id)
        .limit(BATCH)
    ).all()
    return [row.id for row in fitting(sizes, lambda row: row[1], max_bytes)]


def _messages() -> Select[Any]:
    return select(
        Message.id.label("key"),
        func.substr(SEARCHED, 1, INDEXED_CHARACTERS).label("text"),
        OWNER.label("owner_id"),
        Message.session_id,
        Message.role,
        Message.revision.label("version"),
    ).join_from(Message, ChatSession)


def _names() -> Select[Any]:
    columns: list[Any] = [
        ChatSession.number.label("key"),
        ChatSession.name.label("text"),
        OWNER.label("owner_id"),
        ChatSession.id.label("session_id"),
        literal("").label("role"),
        ChatSession.name.label("version"),
    ]
    return select(*columns).where(ChatSession.name != "")
