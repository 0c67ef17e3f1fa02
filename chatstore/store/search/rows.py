"""Parts that the statements of search share: the rows of matches, and conditions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    TableClause,
    Text,
    bindparam,
    column,
    func,
    null,
    select,
    table,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Join

from chatstore.db import UtcDateTime
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, Message
from chatstore.store.filters import select_matching
from chatstore.store.search.criteria import Shape
from chatstore.store.search.searched import SEARCHED, SEARCHED_BYTES

# The score needs only the beginning of a text, so we read this much of every match.
HEAD_CHARACTERS = 4000

LOW, HIGH = bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)
INDEX_QUERY = bindparam("index_query", type_=Text)
OWNER = bindparam("the_owner", type_=ChatSession.owner_id.type)


class MatchRow(NamedTuple):
    """A matching name or message, with the driver's values.

    `text` is the beginning of the text, `bytes` the size of the whole text.
    """

    key: int
    text: str
    bytes: int
    session_id: Any
    session_name: str | None
    timestamp: Any
    message_id: int | None
    seq: int | None
    role: str | None


class _InOrder(Join):
    """A join that SQLite must run from left to right: from the index to the rows."""

    inherit_cache = True


@compiles(_InOrder, "sqlite")
def _cross_join(join: Any, compiler: Any, **options: Any) -> str:
    options = {"asfrom": True} | options
    left = compiler.process(join.left, **options)
    right = compiler.process(join.right, **options)
    condition = compiler.process(join.onclause, from_linter=options.get("from_linter"))
    return f"{left} CROSS JOIN {right} ON {condition}"


class is_listed(FunctionElement[Any]):
    """The SQL condition that a key is in the JSON array of a parameter."""

    name = "is_listed"
    # SQLAlchemy compares a Boolean with 1, which hides the key from SQLite's indexes.
    type = Integer()
    inherit_cache = True

    def __init__(self, key: ColumnElement[int], parameter: str) -> None:
        super().__init__(key, bindparam(parameter, type_=Text))


@compiles(is_listed, "postgresql")
def _is_listed_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    key, keys = (compiler.process(each, **options) for each in element.clauses)
    listed = f"json_array_elements_text(CAST({keys} AS json))"
    return f"({key} IN (SELECT CAST(value AS bigint) FROM {listed}))"  # nosec B608: names of parameters


@compiles(is_listed)
def _is_listed_in_json(element: Any, compiler: Any, **options: Any) -> str:
    key, keys = (compiler.process(each, **options) for each in element.clauses)
    return f"({key} IN (SELECT value FROM json_each({keys})))"  # nosec B608


def index_entries(index: str) -> TableClause:
    """Return PostgreSQL's table of an index."""
    return table(index, column("id", BigInteger), column("words", TSVECTOR))


def matches_query(words: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return PostgreSQL's condition that an entry's words match the query."""
    return words.bool_op("@@")(sql_cast(INDEX_QUERY, TSQUERY))


def is_in_window(key: ColumnElement[int], shape: Shape) -> list[ColumnElement[bool]]:
    """Return the conditions `low <= key < high`, as far as both are known."""
    conditions = []
    if shape.has_low:
        conditions.append(key >= LOW)
    if shape.has_high:
        conditions.append(key < HIGH)
    return conditions


def session_conditions(shape: Shape) -> ColumnElement[bool]:
    """Return the condition that a session is the owner's and matches the filters."""
    chats = select_matching(
        select(ChatSession.id),
        shape.filters,
        owner_id=OWNER,
        rare_facet=shape.rare_facet,
    )
    assert chats.whereclause is not None
    return chats.whereclause


def select_rows(
    index: str,
    entries: FromClause | None,
    key: ColumnElement[int] | None,
    shape: Shape,
    columns: Sequence[ColumnElement[Any]] | None = None,
) -> Select[Any]:
    """Select the columns of `MatchRow` for the rows of `entries`, joined by `key`.

    Without `entries`, the row of a `key` of an outer query; without `key`, all rows.
    `columns` replace those after the key.
    """
    own = key_of(index)
    rows = Message.__table__ if index == MESSAGES else ChatSession.__table__
    if columns is None:
        columns = _message_columns() if index == MESSAGES else name_columns()
    found = select((own if key is None else key).label("key"), *columns)
    if entries is not None:
        rows = _InOrder(entries, rows, own == key)
    elif key is not None:
        found = found.where(own == key)
    instant: SQLCoreOperations[datetime] = Message.timestamp
    if index == NAMES:
        instant = ChatSession.created_at
        # A stray entry must not find a session without a name.
        found = found.where(ChatSession.name != "")
    else:
        chats = ChatSession.__table__
        rows = _InOrder(rows, chats, ChatSession.id == Message.session_id)
    if shape.has_after:
        found = found.where(instant > bindparam("after", type_=UtcDateTime))
    if shape.has_before:
        found = found.where(instant < bindparam("before", type_=UtcDateTime))
    return found.select_from(rows).where(session_conditions(shape))


def key_of(index: str) -> ColumnElement[Any]:
    """Return the column with the key of an index's entries."""
    return message_key() if index == MESSAGES else ChatSession.number.expression


def message_key() -> ColumnElement[int]:
    """Return the column with the key of a message's entry."""
    return Message.id.expression


def typed_null(name: str, kind: Any) -> ColumnElement[Any]:
    """Return NULL as a column of this name and type."""
    return sql_cast(null(), kind).label(name)


def _message_columns() -> list[ColumnElement[Any]]:
    return [
        func.substr(SEARCHED, 1, HEAD_CHARACTERS).label("text"),
        SEARCHED_BYTES.label("bytes"),
        ChatSession.id.label("session_id"),
        ChatSession.name.label("session_name"),
        Message.timestamp.label("timestamp"),
        Message.id.label("message_id"),
        Message.seq.label("seq"),
        Message.role.label("role"),
    ]


def name_columns() -> list[ColumnElement[Any]]:
    """Return the columns of `MatchRow` after the key, for a session's name."""
    return [
        ChatSession.name.label("text"),
        func.octet_length(ChatSession.name, type_=Integer).label("bytes"),
        ChatSession.id.label("session_id"),
        ChatSession.name.label("session_name"),
        ChatSession.created_at.label("timestamp"),
        null().label("message_id"),
        null().label("seq"),
        null().label("role"),
    ]
