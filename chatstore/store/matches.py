"""Selects what the search index finds, newest first; `index` writes it.

The dialects differ in these two, and nowhere else.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    column,
    func,
    literal,
    literal_column,
    null,
    select,
    table,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.selectable import Join

from chatstore.analyzer import INDEXED_CHARACTERS
from chatstore.entries import fts5_query, tsquery
from chatstore.models import ChatSession, Message
from chatstore.models.indexes import MESSAGES, NAMES
from chatstore.queries import Query
from chatstore.store.index import is_fts5

# Of each list one word must be in an entry's scope.
Scopes = Sequence[Sequence[str]]

_UNDERESTIMATED = 10


class _InOrder(Join):
    """A join that SQLite makes from left to right: from the index to the rows."""

    inherit_cache = True


@compiles(_InOrder, "sqlite")
def _cross_join(join: Any, compiler: Any, **options: Any) -> str:
    options = {"asfrom": True} | options
    left = compiler.process(join.left, **options)
    right = compiler.process(join.right, **options)
    condition = compiler.process(join.onclause, from_linter=options.get("from_linter"))
    return f"{left} CROSS JOIN {right} ON {condition}"


def select_messages(query: Query, scopes: Scopes) -> Select[Any]:
    """Select `key`, `text`, … of the messages that match, with their sessions."""
    index, key = _index(MESSAGES)
    chats = ChatSession.__table__
    messages = _InOrder(index, Message.__table__, Message.id == key)
    return (
        select(
            key.label("key"),
            func.substr(Message.content, 1, INDEXED_CHARACTERS).label("text"),
            ChatSession.id.label("session_id"),
            ChatSession.name.label("session_name"),
            Message.timestamp.label("timestamp"),
            Message.id.label("message_id"),
            Message.seq.label("seq"),
            Message.role.label("role"),
        )
        .select_from(_InOrder(messages, chats, ChatSession.id == Message.session_id))
        .where(_matching(MESSAGES, query, scopes))
        .order_by(key.desc())
    )


def select_names(query: Query, scopes: Scopes) -> Select[Any]:
    """Select the sessions whose names match, in the columns of `select_messages`."""
    index, key = _index(NAMES)
    chats = ChatSession.__table__
    return (
        select(key.label("key"), *_name_columns())
        .select_from(_InOrder(index, chats, ChatSession.number == key))
        # An entry that was left behind must not stand for a session without a name.
        .where(_matching(NAMES, query, scopes), ChatSession.name != "")
        .order_by(key.desc())
    )


def select_sessions() -> Select[Any]:
    """Select sessions as they are, in the columns of `select_names`, a key of 0."""
    return select(literal(0).label("key"), *_name_columns())


def newest(query: Select[Any], count: int) -> Select[Any]:
    """Return the first `count` of what `select_messages` or `select_names` selects."""
    if is_fts5():
        return query.limit(count)
    # PostgreSQL can walk the entries from the newest on, or take all that match out of
    # the index. It guesses that to look into an entry costs a tenth of what it does: a
    # rare word took a second. So the walk must look better for ten times as many rows,
    # which a materialized query is planned for. It ends early all the same, and its
    # order is kept as long as nobody asks for one.
    planned = query.limit(_UNDERESTIMATED * count).cte()
    return select(planned.prefix_with("MATERIALIZED")).limit(count)


def key_of(query: Select[Any]) -> ColumnElement[int]:
    """Return the key of what `select_messages` or `select_names` selects."""
    key: ColumnElement[int] = next(iter(query.selected_columns))
    return key


def _name_columns() -> list[ColumnElement[Any]]:
    return [
        ChatSession.name.label("text"),
        ChatSession.id.label("session_id"),
        ChatSession.name.label("session_name"),
        ChatSession.created_at.label("timestamp"),
        null().label("message_id"),
        null().label("seq"),
        null().label("role"),
    ]


def _index(name: str) -> tuple[FromClause, ColumnElement[int]]:
    index = table(name, column("rowid" if is_fts5() else "id", BigInteger))
    (key,) = index.c
    return index, key


def _matching(index: str, query: Query, scopes: Scopes) -> ColumnElement[bool]:
    if is_fts5():
        return literal_column(index).op("MATCH")(fts5_query(query, scopes))
    words: ColumnElement[Any] = literal_column(f"{index}.words")
    matching = words.op("@@")(sql_cast(tsquery(query, scopes), TSQUERY))
    # The number keeps the driver from preparing the statement, and the server from a
    # plan for any words whatsoever: which one is right depends on the words.
    number = literal(secrets.randbelow(2**31), literal_execute=True)
    return matching & (number >= 0)
