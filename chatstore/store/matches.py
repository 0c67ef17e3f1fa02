"""Finds what the search index has, newest first; `index` writes it.

What the index looks like differs by dialect, here and there only.

PostgreSQL can walk the entries from the newest on, fast for what many have, or take
all that match out of the index, fast for what few have. Its planner cannot tell which:
it does not know how often words meet, and walks to the end took more than a second.
So among messages a sample of the newest decides, and a walk goes only so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Subquery,
    TableClause,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    null,
    select,
    table,
    true,
    union_all,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.selectable import Join
from sqlalchemy.types import NullType

from chatstore.analyzer import INDEXED_CHARACTERS
from chatstore.db import UtcDateTime
from chatstore.driver import Prepared, bounded
from chatstore.entries import fts5_query, owner_scope, tsquery
from chatstore.models import ChatSession, Message
from chatstore.models.indexes import MESSAGES, NAMES
from chatstore.queries import Query
from chatstore.store.filters import SessionFilters, select_matching

# Of each list one word must be in an entry's scope.
Scopes = Sequence[Sequence[str]]

# A walk is worth it if so many match of a sample, one entry in so many of those that it
# would look at: an odd number, for people and assistants take turns. Phrases are worth
# a longer one: most entries that have all their words have them elsewhere.
_WALK, _STEP, _DENSE = 30_000, 101, 2
_LONGER = 3
_PLANNED_FOR = 1000
# So many of all entries say whether nearly all are the owner's.
_PROBES = 16


class Found(NamedTuple):
    """What stands behind an entry, as the driver gives it: of a name, or a message."""

    key: int
    text: str
    session_id: Any
    session_name: str | None
    timestamp: Any
    message_id: int | None
    seq: int | None
    role: str | None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a search is asked, whatever for: one statement serves all of a shape."""

    dialect_name: str
    filters: SessionFilters
    rare_facet: int | None
    is_narrow: bool
    has_phrase: bool
    has_after: bool
    has_before: bool
    has_low: bool
    has_high: bool

    @property
    def is_fts5(self) -> bool:
        """Whether the index is SQLite's FTS5, not PostgreSQL's tsvector."""
        return self.dialect_name == "sqlite"

    @property
    def is_open(self) -> bool:
        """Whether it is not known yet where the window ends."""
        return not (self.has_low and self.has_high)

    @property
    def walk(self) -> int:
        """How many entries a walk looks at."""
        return _WALK * (_LONGER if self.has_phrase else 1)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What must match, in which scopes, when and between which keys; how many at most.

    `is_few` says that the scopes let few entries pass, `is_narrow` that the filters
    may let few pass of those. `after`, `before` and `high` are not included.
    """

    dialect_name: str
    owner_id: str
    query: Query
    scopes: Scopes
    filters: SessionFilters
    rare_facet: int | None
    is_few: bool
    is_narrow: bool
    after: datetime | None
    before: datetime | None
    low: int | None = None
    high: int | None = None
    count: int

    def shape(self) -> Shape:
        """Return what is to be known to make a statement for this."""
        return Shape(
            dialect_name=self.dialect_name,
            filters=self.filters.shape(),
            rare_facet=self.rare_facet,
            is_narrow=self.is_narrow,
            has_phrase=self.query.has_phrase,
            has_after=self.after is not None,
            has_before=self.before is not None,
            has_low=self.low is not None,
            has_high=self.high is not None,
        )

    def named(self) -> dict[str, Any]:
        """Return the parameters of a statement that is made for the shape."""
        as_query = fts5_query if self.dialect_name == "sqlite" else tsquery
        return {
            **self.filters.named(),
            "the_owner": self.owner_id,
            "asked": as_query(self.query, self.scopes),
            "own": tsquery(Query((), ()), [[owner_scope(self.owner_id)]]),
            "after": self.after,
            "before": self.before,
            "low": self.low,
            "high": self.high,
            "most": self.count,
        }

    @property
    def needs_sample(self) -> bool:
        """Whether `find_messages` must know how many of the newest match."""
        shape = self.shape()
        return shape.is_open and not (shape.is_fts5 or self.is_few or self.is_narrow)

    @property
    def is_short(self) -> bool:
        """Whether a walk looks at all between the keys."""
        shape = self.shape()
        if self.low is None or self.high is None or shape.is_fts5:
            return False
        return self.high - self.low <= shape.walk


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


class FirstLook(NamedTuple):
    """The names that match; some sessions to look into; what a sample says.

    That is, how many messages of it match, and whether nearly all are the owner's.
    """

    names: list[Found]
    session_ids: list[UUID]
    sample: int = 0
    is_mostly_own: bool = False


def look(
    connection: Connection, wanted: Wanted, *, names: bool, most_sessions: int | None
) -> FirstLook:
    """Return what is to be known before messages are sought, in one statement.

    `names` asks for those, newest first, and `most_sessions` for so many that the
    filters let pass, in no order. The sample is taken if `wanted` needs one.
    """
    # Beside names, messages are sought from the newest on.
    messages = replace(wanted, low=None, high=None) if names else wanted
    has_sample = messages.needs_sample
    if not (names or most_sessions or has_sample):
        return FirstLook([], [])
    prepared = _prepare_look(wanted.shape(), names, bool(most_sessions), has_sample)
    named = {**wanted.named(), "most_sessions": most_sessions}
    rows = [Found(*row) for row in prepared.rows(connection, named)]
    return FirstLook(
        names=[row for row in rows if row.key > 0],
        session_ids=[as_uuid(row.session_id) for row in rows if row.key == 0],
        sample=sum(-1 - row.key for row in rows if row.key < 0),
        is_mostly_own=any(int(row.text) >= _PROBES - 1 for row in rows if row.key < 0),
    )


def find_messages(
    connection: Connection, wanted: Wanted, *, sample: int = 0
) -> list[Found]:
    """Return the newest messages that match.

    `sample` is what `look` found for the same.
    """
    shape, named = wanted.shape(), wanted.named()
    if wanted.is_short or sample >= _DENSE:
        rows = _prepare_walk(shape).rows(connection, named)
        if wanted.is_short or len(rows) == wanted.count:
            return [Found(*row) for row in rows]
    return [Found(*row) for row in _prepare_messages(shape).rows(connection, named)]


def as_uuid(sent: UUID | str) -> UUID:
    """Return the id that a driver gives, which on SQLite is a text."""
    return sent if isinstance(sent, UUID) else UUID(sent)


# Making a statement costs more than running it. Which plan is right depends on the
# words: PostgreSQL must never go by one that it made for others.


@lru_cache(maxsize=64)
def _prepare_look(
    shape: Shape, names: bool, sessions: bool, has_sample: bool
) -> Prepared:
    parts: list[Select[Any]] = []
    if names:
        parts.append(_select_names(shape))
    if sessions:
        parts.append(_select_sessions(shape))
    if has_sample:
        parts.append(_select_sample(shape, has_high=shape.has_high and not names))
    whole = union_all(*(select(each.subquery()) for each in parts))
    return Prepared(whole, is_planned_anew=True)


@lru_cache(maxsize=64)
def _prepare_walk(shape: Shape) -> Prepared:
    newest = _newest(shape)
    rows = _one_by_one(newest, shape)
    return Prepared(rows.where(_matches(newest.c.words)), is_planned_anew=True)


@lru_cache(maxsize=64)
def _prepare_messages(shape: Shape) -> Prepared:
    if shape.is_fts5:
        return Prepared(_select_fts5(MESSAGES, shape))
    if shape.is_narrow:
        planned = _select_planned(MESSAGES, shape)
        return Prepared(planned, is_planned_anew=True)
    return Prepared(_select_all(shape), is_planned_anew=True)


def _select_names(shape: Shape) -> Select[Any]:
    if shape.is_fts5:
        return _select_fts5(NAMES, shape)
    return _select_planned(NAMES, shape)


def _select_sessions(shape: Shape) -> Select[Any]:
    """Select sessions that the filters let pass, with a key of 0."""
    some = select(literal_column("0").label("key"), *_name_columns())
    some = some.where(_allowed(shape))
    return bounded(some, bindparam("most_sessions", type_=Integer))


def _select_sample(shape: Shape, *, has_high: bool) -> Select[Any]:
    """Select a row whose key is -1 less how many of a sample match, two at most.

    Its text is how many of some of them are the owner's.
    """
    newest = select(func.max(_entries(MESSAGES).c.id)).scalar_subquery()
    first = _HIGH - 1 if has_high else newest

    def count(
        step: Any, last: Any, asked: BindParameter[str], most: int
    ) -> ColumnElement[int]:
        matching = _every(step, first, last, asked).limit(most).subquery()
        return select(func.count()).select_from(matching).scalar_subquery()

    # Of all there are: who wrote the newest need not have written the others.
    own = count(sql_cast(func.div(first, _PROBES), BigInteger) + 1, 1, _OWN, _PROBES)
    sample = count(_STEP, first - shape.walk, _ASKED, _DENSE)
    nothing = [
        each
        if isinstance(each.type, NullType)
        else sql_cast(null(), each.type).label(each.name)
        for each in _name_columns()[1:]  # a union needs their types in each part
    ]
    return select(
        (-1 - sample).label("key"),
        sql_cast(own, Text).label("text"),
        *nothing,
    )


def _every(
    step: Any, first: ColumnElement[int], last: Any, asked: BindParameter[str]
) -> Select[Any]:
    """Select which match of the entries that lie so far apart, from the first down."""
    entries = _entries(MESSAGES)
    place = func.generate_series(first, last, -step)
    places = select(place.label("id")).subquery("places")
    # Each looked up by itself: PostgreSQL would ask the index for all that match.
    at = select(entries).where(entries.c.id == places.c.id).limit(1).lateral("at")
    sample = select(at.c.id).select_from(places.join(at, true()))
    return sample.where(_matches(at.c.words, asked))


def _select_fts5(index: str, shape: Shape) -> Select[Any]:
    entries = table(index, column("rowid", BigInteger))
    key = entries.c.rowid
    matches = literal_column(index).op("MATCH")(_ASKED)
    rows = _rows(index, entries, key, shape).where(matches, *_is_between(key, shape))
    return bounded(rows.order_by(key.desc()), _MOST)


def _select_planned(index: str, shape: Shape) -> Select[Any]:
    """Leave the way to PostgreSQL, which may as well begin with the sessions.

    It guesses that to look into an entry costs a tenth of what it does. So the walk
    must look better for many more rows, which a materialized query is planned for. It
    ends early all the same, and its order is kept as long as nobody asks.
    """
    entries = _entries(index)
    key, words = entries.c
    conditions = (_matches(words), *_is_between(key, shape))
    rows = _rows(index, entries, key, shape).where(*conditions)
    planned = rows.order_by(key.desc()).limit(_PLANNED_FOR).cte()
    return bounded(select(planned.prefix_with("MATERIALIZED")), _MOST)


def _newest(shape: Shape) -> Subquery:
    entries = _entries(MESSAGES)
    within = select(entries).where(*_is_between(entries.c.id, shape))
    return within.order_by(entries.c.id.desc()).limit(shape.walk).subquery("newest")


def _select_all(shape: Shape) -> Select[Any]:
    key, words = _entries(MESSAGES).c
    matching = select(key).where(_matches(words), *_is_between(key, shape))
    found = matching.cte("matching").prefix_with("MATERIALIZED")
    newest = select(found).order_by(found.c.id.desc()).subquery("newest")
    return _one_by_one(newest, shape)


def _one_by_one(newest: Subquery, shape: Shape) -> Select[Any]:
    """Select what stands behind each in turn, until there are enough.

    Left to itself, PostgreSQL would read all messages for what it thinks are many.
    """
    key: ColumnElement[int] = newest.c.id
    row = _rows(MESSAGES, None, key, shape).limit(1).lateral("row")
    rows = select(*row.c).select_from(newest.join(row, true()))
    return bounded(rows.order_by(key.desc()), _MOST)


_MOST = bindparam("most", type_=Integer)
_LOW, _HIGH = bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)
_ASKED, _OWN = bindparam("asked", type_=Text), bindparam("own", type_=Text)


def _entries(index: str) -> TableClause:
    return table(index, column("id", BigInteger), column("words", TSVECTOR))


def _matches(
    words: ColumnElement[Any], asked: BindParameter[str] = _ASKED
) -> ColumnElement[bool]:
    return words.bool_op("@@")(sql_cast(asked, TSQUERY))


def _is_between(key: ColumnElement[int], shape: Shape) -> list[ColumnElement[bool]]:
    conditions = []
    if shape.has_low:
        conditions.append(key >= _LOW)
    if shape.has_high:
        conditions.append(key < _HIGH)
    return conditions


def _allowed(shape: Shape) -> ColumnElement[bool]:
    chats = select_matching(
        select(ChatSession.id),
        shape.filters,
        owner_id=bindparam("the_owner", type_=ChatSession.owner_id.type),
        rare_facet=shape.rare_facet,
        dialect_name=shape.dialect_name,
    )
    assert chats.whereclause is not None
    return chats.whereclause


def _rows(
    index: str, entries: FromClause | None, key: ColumnElement[int], shape: Shape
) -> Select[Any]:
    """Select what is shown of entries; of a `key` from elsewhere without `entries`."""
    own: SQLCoreOperations[int | None] = Message.id
    rows, columns = Message.__table__, _message_columns()
    instant: SQLCoreOperations[datetime] = Message.timestamp
    if index == NAMES:
        own, instant = ChatSession.number, ChatSession.created_at
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
    if shape.has_after:
        found = found.where(instant > bindparam("after", type_=UtcDateTime))
    if shape.has_before:
        found = found.where(instant < bindparam("before", type_=UtcDateTime))
    return found.select_from(rows).where(_allowed(shape))


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
