"""Updates the search index in the transaction of the rows; no HTTP, no commit.

PostgreSQL deletes an entry with its row. SQLite's FTS5 has no foreign keys, so code
that deletes sessions in SQL must call `delete_entries` first.
"""

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Text,
    bindparam,
    cast,
    column,
    delete,
    event,
    insert,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from chatstore.db import db, is_sqlite, write_connection
from chatstore.db.prepared import Prepared
from chatstore.fulltext.index_format import (
    MESSAGES,
    NAMES,
    PENDING,
    fts5_words,
    scopes_of,
    tsvector_words,
)
from chatstore.models import ChatSession, Message
from chatstore.store.batches import fitting, in_batches

# Key, text, scopes.
Entry = tuple[int, str, list[str]]
# PostgreSQL bounds the time of a statement, and the driver copies its parameters. The
# words of a Chinese batch have tens of millions of characters, so they are written
# in parts.
PUT_LETTERS = 4 * 1024 * 1024
# FTS5 takes up to 0.7 µs a word under SQLite's write lock. A Chinese batch of 8 MB has
# 2.5 million words, so an append writes the entries of its first messages only.
APPEND_WORDS = 400_000

# Each statement writes any number of entries, and replaces existing ones.
_PUT_FTS5 = {
    index: Prepared(
        text(
            f"INSERT OR REPLACE INTO {index} (rowid, words, scope)"  # nosec B608
            " VALUES (:id, :words, :scope)"
        )
    )
    for index in (MESSAGES, NAMES)
}
_PENDING = table(PENDING, column("id", BigInteger))
_MARK_PENDING = insert(_PENDING)
# PostgreSQL's table of the entries of messages.
MESSAGE_INDEX = table(MESSAGES, column("id", BigInteger), column("words", TSVECTOR))
_PUT_TSVECTOR = {
    index: text(
        f"INSERT INTO {index} (id, words)"  # nosec B608
        " SELECT entry.id, CAST(entry.words AS tsvector)"
        " FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[]))"
        " AS entry (id, words)"
        " ON CONFLICT (id) DO UPDATE SET words = excluded.words"
    )
    for index in (MESSAGES, NAMES)
}


class Words(NamedTuple):
    """A text as an index stores it; on PostgreSQL `words` includes the scopes."""

    words: str
    scope: str


def words_of(content: str, scopes: Sequence[str]) -> Words:
    """Return the words of a text for the index: slow work without a transaction."""
    if is_sqlite():
        return Words(fts5_words(content), " ".join(scopes))
    return Words(tsvector_words(content, scopes), "")


def insert_entry(key: ColumnElement[int]) -> CTE:
    """Return PostgreSQL's CTE that inserts the parameter `words` under a new key."""
    words = cast(bindparam("words", type_=Text), TSVECTOR)
    adding = insert(MESSAGE_INDEX).from_select(["id", "words"], select(key, words))
    return adding.cte("indexed")


def words_of_name(name: str | None, owner_id: str, session_id: UUID) -> Words | None:
    """Return the words of a name for `put_name`; None without a name."""
    return words_of(name, scopes_of(owner_id, session_id)) if name else None


def put_name(chat: ChatSession, words: Words | None) -> None:
    """Write the entry of the session's name, or delete it if `words` is None."""
    if chat.number is None:
        return
    if words is not None:
        put_words(NAMES, [chat.number], [words])
    else:
        db.session.execute(delete_keys(NAMES, [chat.number]))


def put_entries(index: str, entries: Sequence[Entry]) -> None:
    """Write the entries into an index; they replace entries with the same keys."""
    keys = [key for key, _, _ in entries]
    put_words(index, keys, [words_of(text, scopes) for _, text, scopes in entries])


def put_words(
    index: str,
    keys: Sequence[int],
    words: Sequence[Words],
    *,
    max_letters: int = PUT_LETTERS,
) -> None:
    """Write entries from prepared words.

    On PostgreSQL a statement takes at most `max_letters` characters, or one entry.
    """
    connection = write_connection()
    entries = zip(keys, words, strict=True)
    if is_sqlite():
        rows = [{"id": key, **each._asdict()} for key, each in entries]
        _PUT_FTS5[index].run(connection, rows)
        return
    for some in in_batches(entries, lambda entry: len(entry[1].words), max_letters):
        texts = [each.words for _, each in some]
        ids = [key for key, _ in some]
        connection.execute(_PUT_TSVECTOR[index], {"ids": ids, "words": texts})


def words_of_new(
    texts: Iterable[tuple[str, Sequence[str]]], *, max_words: int = APPEND_WORDS
) -> list[Words]:
    """Return the words of new messages, given as (content, scopes), in their order.

    On SQLite the list ends before `max_words` words, or after one message.
    """
    words = starmap(words_of, texts)
    if not is_sqlite():
        return list(words)
    return fitting(words, lambda each: each.words.count(" "), max_words)


def put_new_words(keys: Sequence[int], words: Sequence[Words]) -> None:
    """Write the entries of new messages; mark the keys beyond `words` as pending.

    `rebuild.index_pending` writes the entries of those after the commit.
    """
    put_words(MESSAGES, keys[: len(words)], words)
    pending = [{"id": key} for key in keys[len(words) :]]
    if pending:
        write_connection().execute(_MARK_PENDING, pending)


def replace_words(keys: Sequence[int], words: Sequence[Words]) -> None:
    """Write the entries of messages whose text changed; they are pending no more."""
    put_words(MESSAGES, keys, words)
    if is_sqlite():
        pending = column("id", BigInteger)
        write_connection().execute(
            delete(table(PENDING, pending)).where(pending.in_(keys))
        )


def mark_pending(ids: Select[Any]) -> None:
    """Mark messages for `rebuild.index_pending`, which writes their entries."""
    write_connection().execute(_MARK_PENDING.from_select(["id"], ids))


def delete_keys(index: str, keys: Sequence[int] | Select[Any]) -> Delete:
    """Return the statement that deletes the entries with these keys."""
    key = column("rowid" if is_sqlite() else "id", BigInteger)
    return delete(table(index, key)).where(key.in_(keys))


def delete_entries(condition: ColumnElement[bool]) -> None:
    """Delete the entries of sessions that are about to be deleted."""
    if is_sqlite():  # on PostgreSQL the foreign keys do it
        _delete_entries(db.session.connection(), condition)


def _delete_entries(connection: Connection, condition: ColumnElement[bool]) -> None:
    chats = select(ChatSession.id).where(condition)
    messages = select(Message.id).where(Message.session_id.in_(chats))
    numbers = select(ChatSession.number).where(condition)
    for index, keys in ((MESSAGES, messages), (NAMES, numbers)):
        connection.execute(delete_keys(index, keys))


# Code that deletes ORM objects, as in a shell, does not call `delete_entries`, so these
# listeners delete the entries.


@event.listens_for(ChatSession, "before_delete")
def _forget_session(_: object, connection: Connection, chat: ChatSession) -> None:
    if is_sqlite():
        _delete_entries(connection, ChatSession.id == chat.id)


@event.listens_for(Message, "before_delete")
def _forget_message(_: object, connection: Connection, message: Message) -> None:
    # SQLAlchemy deletes loaded messages one by one, before their session.
    if is_sqlite():
        connection.execute(delete_keys(MESSAGES, [message.id]))
