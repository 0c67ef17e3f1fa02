"""Finds what the search index has, newest first; `index` writes it.

The dialects differ in these two, and nowhere else.

PostgreSQL can walk the entries from the newest on, fast for what many have, or take
all that match out of the index, fast for what few have. Its planner cannot tell which:
it does not know how often words meet, and walks to the end took more than a second.
So among messages a sample of the newest decides, and a walk goes only so far.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Row,
    Select,
    Subquery,
    TableClause,
    column,
    func,
    literal,
    literal_column,
    null,
    select,
    table,
    true,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.selectable import Join
from sqlalchemy.types import NullType

from chatstore.analyzer import INDEXED_CHARACTERS
from chatstore.db import db
from chatstore.entries import fts5_query, tsquery
from chatstore.models import ChatSession, Message
from chatstore.models.indexes import MESSAGES, NAMES
from chatstore.queries import Query
from chatstore.store.index import is_fts5

# Of each list one word must be in an entry's scope.
Scopes = Sequence[Sequence[str]]

# A walk is worth it if so many match of a sample, one entry in so many of those that it
# would look at: an odd number, for people and assistants take turns. Phrases are worth
# a longer one: most entries that have all their words have them elsewhere.
_WALK, _STEP, _DENSE = 30_000, 101, 2
_LONGER = 3
_UNDERESTIMATED = 10


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What must match, in which scopes, between which keys, and how many at most.

    `is_few` says that the scopes let few entries pass, `is_narrow` that the conditions
    may let few pass of those.
    """

    query: Query
    scopes: Scopes
    is_few: bool
    is_narrow: bool
    conditions: Sequence[ColumnElement[bool]]
    low: int | None = None
    high: int | None = None
    count: int

    @property
    def needs_sample(self) -> bool:
        """Whether `find_messages` must know how many of the newest match."""
        is_open = self.low is None or self.high is None
        return is_open and not (is_fts5() or self.is_few or self.is_narrow)

    @property
    def is_short(self) -> bool:
        """Whether a walk looks at all between the keys."""
        if self.low is None or self.high is None or is_fts5():
            return False
        return self.high - self.low <= self.walk

    @property
    def walk(self) -> int:
        """How many entries a walk looks at."""
        return _WALK * (_LONGER if self.query.has_phrase else 1)

    def is_between(self, key: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """Return the conditions on the key."""
        bounds = ((self.low, key.__ge__), (self.high, key.__lt__))
        return [compare(bound) for bound, compare in bounds if bound is not None]


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


def find_messages(wanted: Wanted, *, sample: int = 0) -> Sequence[Row[Any]]:
    """Return `key`, `text`, … of the newest messages that match, and their sessions.

    `sample` is what `select_sample` found, if it was needed.
    """
    connection = db.session.connection()
    if wanted.is_short or sample >= _DENSE:
        rows = connection.execute(_walk(wanted)).all()
        if wanted.is_short or len(rows) == wanted.count:
            return rows
    return connection.execute(_select_messages(wanted)).all()


def select_sample(wanted: Wanted) -> Select[Any]:
    """Select a row whose key is -1 less how many of a sample match, two at most."""
    entries = _entries(MESSAGES)
    newest = select(func.max(entries.c.id)).scalar_subquery()
    first = newest if wanted.high is None else literal(wanted.high - 1, BigInteger)
    place = func.generate_series(first, first - wanted.walk, -_STEP)
    places = select(place.label("id")).subquery("places")
    # Each looked up by itself: PostgreSQL would ask the index for all that match.
    at = select(entries).where(entries.c.id == places.c.id).limit(1).lateral("at")
    sample = select(at.c.id).select_from(places.join(at, true()))
    matching = sample.where(_matches(at.c.words, wanted)).limit(_DENSE).subquery()
    count = select(func.count()).select_from(matching)
    nothing = [
        each
        if isinstance(each.type, NullType)
        else sql_cast(null(), each.type).label(each.name)
        for each in _name_columns()  # a union needs their types in each part
    ]
    return select((-1 - count.scalar_subquery()).label("key"), *nothing)


def select_names(wanted: Wanted) -> Select[Any]:
    """Select the sessions whose names match, in the columns of `find_messages`."""
    return _select_fts5(NAMES, wanted) if is_fts5() else _select_planned(NAMES, wanted)


def select_sessions() -> Select[Any]:
    """Select sessions as they are, in the columns of `select_names`, a key of 0."""
    return select(literal(0).label("key"), *_name_columns())


def _select_messages(wanted: Wanted) -> Select[Any]:
    if is_fts5():
        return _select_fts5(MESSAGES, wanted)
    if wanted.is_narrow:
        return _select_planned(MESSAGES, wanted)
    return _select_all(wanted)


def _select_fts5(index: str, wanted: Wanted) -> Select[Any]:
    entries = table(index, column("rowid", BigInteger))
    key = entries.c.rowid
    asked = fts5_query(wanted.query, wanted.scopes)
    matches = literal_column(index).op("MATCH")(asked)
    rows = _rows(index, entries, key, wanted).where(matches, *wanted.is_between(key))
    return rows.order_by(key.desc()).limit(wanted.count)


def _select_planned(index: str, wanted: Wanted) -> Select[Any]:
    """Leave the way to PostgreSQL, which may as well begin with the sessions.

    It guesses that to look into an entry costs a tenth of what it does. So the walk
    must look better for ten times as many rows, which a materialized query is planned
    for. It ends early all the same, and its order is kept as long as nobody asks.
    """
    entries = _entries(index)
    key, words = entries.c
    conditions = (_matches(words, wanted), *wanted.is_between(key))
    rows = _rows(index, entries, key, wanted).where(*conditions)
    planned = rows.order_by(key.desc()).limit(_UNDERESTIMATED * wanted.count).cte()
    return select(planned.prefix_with("MATERIALIZED")).limit(wanted.count)


def _walk(wanted: Wanted) -> Select[Any]:
    newest = _newest(wanted, wanted.walk)
    rows = _one_by_one(newest, wanted)
    return rows.where(_matches(newest.c.words, wanted))


def _newest(wanted: Wanted, most: int) -> Subquery:
    entries = _entries(MESSAGES)
    within = select(entries).where(*wanted.is_between(entries.c.id))
    return within.order_by(entries.c.id.desc()).limit(most).subquery("newest")


def _select_all(wanted: Wanted) -> Select[Any]:
    key, words = _entries(MESSAGES).c
    matching = select(key).where(_matches(words, wanted), *wanted.is_between(key))
    found = matching.cte("matching").prefix_with("MATERIALIZED")
    newest = select(found).order_by(found.c.id.desc()).subquery("newest")
    return _one_by_one(newest, wanted)


def _one_by_one(newest: Subquery, wanted: Wanted) -> Select[Any]:
    """Select what stands behind each in turn, until there are enough.

    Left to itself, PostgreSQL would read all messages for what it thinks are many.
    """
    key: ColumnElement[int] = newest.c.id
    row = _rows(MESSAGES, None, key, wanted).limit(1).lateral("row")
    rows = select(*row.c).select_from(newest.join(row, true()))
    return rows.order_by(key.desc()).limit(wanted.count)


def _entries(index: str) -> TableClause:
    return table(index, column("id", BigInteger), column("words", TSVECTOR))


def _matches(words: ColumnElement[Any], wanted: Wanted) -> ColumnElement[bool]:
    asked = sql_cast(tsquery(wanted.query, wanted.scopes), TSQUERY)
    # The number keeps the driver from preparing the statement, and the server from a
    # plan for any words whatsoever: which one is right depends on the words.
    number = literal(secrets.randbelow(2**31), literal_execute=True)
    return words.bool_op("@@")(asked) & (number >= 0)


def _rows(
    index: str, entries: FromClause | None, key: ColumnElement[int], wanted: Wanted
) -> Select[Any]:
    """Select what is shown of entries; of a `key` from elsewhere without `entries`."""
    own: SQLCoreOperations[int | None] = Message.id
    rows, columns = Message.__table__, _message_columns()
    if index == NAMES:
        own = ChatSession.number
        rows, columns = ChatSession.__table__, _name_columns()
    found = select(key.label("key"), *columns)
    if entries is None:
        found = found.where(own == key)
    else:
        rows = _InOrder(entries, rows, own == key)
    if index == NAMES:
        # An entry that was left behind must not stand for one without a name.
        found = found.where(ChatSession.name != "")
    else:
        chats = ChatSession.__table__
        rows = _InOrder(rows, chats, ChatSession.id == Message.session_id)
    return found.select_from(rows).where(*wanted.conditions)


def _message_columns() -> list[ColumnElement[Any]]:
    return [
        func.substr(Message.content, 1, INDEXED_CHARACTERS).label("text"),
        ChatSession.id.label("session_id"),
        ChatSession.name.label("session_name"),
        Message.timestamp.label("timestamp"),
        Message.id.label("message_id"),
        Message.seq.label("seq"),
        Message.role.label("role"),
    ]


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
