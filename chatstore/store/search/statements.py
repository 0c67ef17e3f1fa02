"""The SQL statements of search; `plans` decides which of them to run.

Building a statement costs more than running it, so each is built once per `Shape`.
PostgreSQL plans it for its parameters at every run, because the right plan depends on
the words.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
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
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Join
from sqlalchemy.types import NullType

from chatstore.db import UtcDateTime
from chatstore.db.prepared import Prepared, bounded
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, Message
from chatstore.store.filters import SessionFilters, select_matching
from chatstore.store.search.searched import SEARCHED, SEARCHED_BYTES

# The number of newest keys that a walk reads: for a page of the newest matches, and for
# a window of matches to rank.
NEWEST_WALK, BEST_WALK = 30_000, 250_000
# The number of entries in a sample, and of messages that are probed for their owner.
SAMPLED, PROBES = 300, 16
# The score needs only the beginning of a text, so we read this much of every match.
HEAD_CHARACTERS = 4000

# PostgreSQL plans some statements for this many rows. For so large a result it starts
# from the sessions if they are few.
_PLANNED_FOR = 1000
# BM25 (Robertson and Zaragoza, 2009) with its usual constants, and the number of
# different words in a usual message.
_SATURATION, _LENGTH_WEIGHT, _USUAL_WORDS = 1.2, 0.75, 75.0
_SUM_OF_SQUARES = 1.6449341  # of 1/n² for all n: π²/6

_MOST = bindparam("most", type_=Integer)
_LOW, _HIGH = bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)
_FLOOR = bindparam("floor", type_=BigInteger)
_WINDOW = bindparam("window", type_=Integer)
_ASKED, _ANY = bindparam("asked", type_=Text), bindparam("any", type_=Text)
_OWNER = bindparam("the_owner", type_=ChatSession.owner_id.type)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the SQL of a search depends on; equal shapes share a statement."""

    dialect_name: str
    filters: SessionFilters
    rare_facet: int | None
    is_narrow: bool
    by_rank: bool
    walk: int
    has_after: bool
    has_before: bool
    has_low: bool
    has_high: bool
    has_taken: bool

    @property
    def is_fts5(self) -> bool:
        """Whether the index is SQLite's FTS5, not PostgreSQL's tsvector."""
        return self.dialect_name == "sqlite"


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


class _is_listed(FunctionElement[bool]):
    """The SQL condition that a key is in the JSON array of a parameter."""

    name = "is_listed"
    type = Boolean()
    inherit_cache = True

    def __init__(self, key: ColumnElement[int], parameter: str) -> None:
        super().__init__(key, bindparam(parameter, type_=Text))


@compiles(_is_listed)
def _compile_is_listed(element: Any, compiler: Any, **options: Any) -> str:
    key, keys = (compiler.process(each, **options) for each in element.clauses)
    if compiler.dialect.name == "postgresql":
        listed = f"json_array_elements_text(CAST({keys} AS json))"
        return f"({key} IN (SELECT CAST(value AS bigint) FROM {listed}))"  # nosec B608: names of parameters
    return f"({key} IN (SELECT value FROM json_each({keys})))"  # nosec B608


# Prepared statements


@lru_cache(maxsize=64)
def prepare_look(
    shape: Shape, *, names: bool, sessions: bool, sample: bool
) -> Prepared:
    """Return a statement with rows (kind, low, rank, *Found).

    The kinds are name, session and sample. In a sample `low` is the newest key, `rank`
    the number of entries that match, and `key` the number of probed messages that are
    the owner's.
    """
    parts: list[Select[Any]] = []
    if names:
        found = _select_names(shape).subquery()
        parts.append(select(literal_column("'name'").label("kind"), *found.c))
    if sessions:
        parts.append(_select_sessions(shape))
    if sample:
        parts.append(_select_sample(shape, has_high=shape.has_high and not names))
    whole = union_all(*(select(each.subquery()) for each in parts))
    return Prepared(whole, is_planned_anew=True)


@lru_cache(maxsize=64)
def prepare_best(shape: Shape) -> Prepared:
    """Return a statement with rows (low, rank, *Found): the best of a window.

    There is at least one row; its key is null if nothing was found.
    """
    return Prepared(_select_best(MESSAGES, shape), is_planned_anew=True)


@lru_cache(maxsize=64)
def prepare_best_of_walk(shape: Shape) -> Prepared:
    """Return `prepare_best` for PostgreSQL, over entries with `id >= floor` only."""
    newest = _newest(shape, low=_FLOOR)
    matching = select(newest).where(_matches(newest.c.words)).limit(_WINDOW + 1)
    matches = matching.cte("matching").prefix_with("MATERIALIZED")
    edge = _edge(matches.c.id, shape)
    ranked = select(matches.c.id.label("key"), _bm25(matches.c.words).label("rank"))
    best = _rows_of_best(MESSAGES, shape, edge, ranked, matches.c.id)
    return Prepared(_beside(edge, best), is_planned_anew=True)


@lru_cache(maxsize=64)
def prepare_walk(shape: Shape) -> Prepared:
    """Return a statement for the newest matches among the newest `walk` entries."""
    newest = _newest(shape, low=_LOW if shape.has_low else None)
    rows = _one_by_one(newest, shape)
    return Prepared(rows.where(_matches(newest.c.words)), is_planned_anew=True)


@lru_cache(maxsize=64)
def prepare_newest(shape: Shape) -> Prepared:
    """Return a statement for the newest matching messages, newest first."""
    if shape.is_fts5:
        return Prepared(_select_fts5(MESSAGES, shape))
    if shape.is_narrow:
        return Prepared(_select_planned(MESSAGES, shape), is_planned_anew=True)
    return Prepared(_select_all(shape), is_planned_anew=True)


@lru_cache(maxsize=64)
def prepare_again(shape: Shape, *, names: bool) -> Prepared:
    """Return a statement for the rows with these `keys` that match the filters."""
    index = NAMES if names else MESSAGES
    rows = _rows(index, None, None, shape)
    return Prepared(rows.where(_is_listed(_key_of(index), "keys")))


@cache
def prepare_texts() -> Prepared:
    """Return a statement with rows (key, first `length` characters) of messages."""
    text = func.substr(SEARCHED, 1, bindparam("length", type_=Integer))
    return Prepared(select(Message.id, text).where(_is_listed(_message_key(), "keys")))


# The first look


def _select_names(shape: Shape) -> Select[Any]:
    """Select (low, rank, *Found) of names that match."""
    if shape.by_rank:
        return _select_best(NAMES, shape)
    select_newest = _select_fts5 if shape.is_fts5 else _select_planned
    newest = select_newest(NAMES, shape).subquery()
    return select(_nothing("low", BigInteger()), _nothing("rank", Double()), *newest.c)


def _select_sessions(shape: Shape) -> Select[Any]:
    """Select sessions that match the filters, with key 0."""
    some = select(
        literal_column("'session'").label("kind"),
        _nothing("low", BigInteger()),
        _nothing("rank", Double()),
        literal_column("0").label("key"),
        *_name_columns(),
    )
    some = some.where(_allowed(shape))
    return bounded(some, bindparam("most_sessions", type_=Integer))


def _select_sample(shape: Shape, *, has_high: bool) -> Select[Any]:
    newest = select(func.max(Message.id)).scalar_subquery()
    first = _HIGH - 1 if has_high else newest
    matching = literal_column("0") if shape.is_fts5 else _count_sample(shape, first)
    nothing = [
        _nothing(each.name, each.type)
        if not isinstance(each.type, NullType)
        else each  # each part of a union must type its columns
        for each in _name_columns()
    ]
    return select(
        literal_column("'sample'").label("kind"),
        newest.label("low"),
        sql_cast(matching, Double).label("rank"),
        _count_own(shape, newest).label("key"),
        *nothing,
    )


def _count_sample(shape: Shape, first: ColumnElement[int]) -> ColumnElement[int]:
    """Return SQL for the number of matches in a sample, at most `most_sampled`."""
    spread = func.least(first, shape.walk) / SAMPLED
    # People and assistants take turns, so the step is odd.
    step = sql_cast(spread, BigInteger).op("|")(1)
    entries = _entries(MESSAGES)
    place = func.generate_series(first, first - shape.walk, -step)
    places = select(place.label("id")).subquery("places")
    # PostgreSQL would read all matches from the index, so we look up each place alone.
    at = select(entries).where(entries.c.id == places.c.id).limit(1).lateral("at")
    sample = select(at.c.id).select_from(places.join(at, true()))
    most = bindparam("most_sampled", type_=Integer)
    matching = sample.where(_matches(at.c.words)).limit(most).subquery("sampled")
    return select(func.count()).select_from(matching).scalar_subquery()


def _count_own(shape: Shape, newest: ColumnElement[int]) -> ColumnElement[int]:
    """Return SQL for how many of `PROBES` evenly spread messages are the owner's."""
    if shape.is_fts5:
        numbers = f"[{','.join(map(str, range(PROBES)))}]"
        series: Any = func.json_each(numbers).table_valued("value", name="probes")
    else:
        numbered = func.generate_series(0, PROBES - 1).label("value")
        series = select(numbered).subquery("probes")
    probed = newest - sql_cast(series.c.value, BigInteger) * (newest // PROBES)
    chats = ChatSession.__table__
    session_id: ColumnElement[Any] = Message.session_id.expression
    owner: ColumnElement[Any] = ChatSession.owner_id.expression
    if shape.is_fts5:
        # Without the plus, SQLite uses an index on these columns and starts from all
        # sessions and messages of the owner, which takes seconds.
        session_id = literal_column("+chat_messages.session_id", session_id.type)
        owner = literal_column("+sessions.owner_id", owner.type)
    rows = series.join(Message, Message.id == probed)
    rows = rows.join(chats, ChatSession.id == session_id)
    own = select(func.count()).select_from(rows).where(owner == _OWNER)
    return own.scalar_subquery()


# The best of a window


def _select_best(index: str, shape: Shape) -> Select[Any]:
    if shape.is_fts5:
        return _select_best_fts5(index, shape)
    entries = _entries(index)
    matching = select(entries.c.id).where(
        _matches(entries.c.words), *_is_between(entries.c.id, shape)
    )
    found = matching.cte("matching").prefix_with("MATERIALIZED")
    newest = select(found).order_by(found.c.id.desc()).limit(_WINDOW + 1)
    matches = newest.cte("newest").prefix_with("MATERIALIZED")
    edge = _edge(matches.c.id, shape)
    at = select(entries.c.words).where(entries.c.id == matches.c.id).limit(1)
    words = at.lateral("at")
    ranked = select(matches.c.id.label("key"), _bm25(words.c.words).label("rank"))
    ranked = ranked.select_from(matches.join(words, true()))
    return _beside(edge, _rows_of_best(index, shape, edge, ranked, matches.c.id))


def _select_best_fts5(index: str, shape: Shape) -> Select[Any]:
    entries = table(index, column("rowid", BigInteger))
    key, matches = entries.c.rowid, literal_column(index).op("MATCH")(_ASKED)
    edge = _edge(key, shape, matches, *_is_between(key, shape))
    rank = -func.bm25(literal_column(index), 1.0, 0.0)  # the scopes do not count
    found = select(key.label("key"), rank.label("rank")).where(
        matches, *_is_between(key, shape)
    )
    return _beside(edge, _rows_of_best(index, shape, edge, found, key))


def _edge(
    key: ColumnElement[int], shape: Shape, *conditions: ColumnElement[bool]
) -> CTE:
    """Return a CTE of `low`: the window's first key, or 0 if no match is below it."""
    low: ColumnElement[Any] = _LOW
    if not shape.has_low:
        beyond = select(key + 1).where(*conditions).order_by(key.desc())
        last = bounded(beyond, literal_column("1"), _WINDOW).scalar_subquery()
        low = func.coalesce(last, 0)
    low = sql_cast(low, BigInteger)
    return select(low.label("low")).cte("edge").prefix_with("MATERIALIZED")


def _rows_of_best(
    index: str,
    shape: Shape,
    edge: CTE,
    matches: Select[Any],
    match_key: ColumnElement[int],
) -> Subquery:
    """Select the rows of the best `matches` (key, rank) with `key >= edge.low`."""
    matches = matches.where(match_key >= select(edge.c.low).scalar_subquery())
    if shape.has_taken:
        matches = matches.where(~_is_listed(match_key, "taken"))
    found = matches.cte("matches").prefix_with("MATERIALIZED")
    in_order = (found.c.rank.desc(), found.c.key.desc())
    best_first: Select[Any] = select(found).order_by(*in_order)
    ranked = bounded(best_first, _WINDOW).subquery("ranked")
    if shape.is_fts5:
        # SQLite reads a subquery in the subquery's order, and stops at the limit.
        rows = _rows(index, ranked, ranked.c.key, shape)
        return bounded(rows.add_columns(ranked.c.rank), _MOST).subquery("best")
    row = _rows(index, None, ranked.c.key, shape).limit(1).lateral("row")
    shown: Select[Any] = select(*row.c, ranked.c.rank)
    shown = shown.select_from(ranked.join(row, true()))
    in_order = (ranked.c.rank.desc(), ranked.c.key.desc())
    return bounded(shown.order_by(*in_order), _MOST).subquery("best")


def _beside(edge: CTE, best: Subquery) -> Select[Any]:
    """Select (low, rank, *Found); one row with `low` alone if nothing was found."""
    found = [each for each in best.c if each.name != "rank"]
    return select(edge.c.low, best.c.rank, *found).select_from(
        edge.outerjoin(best, true())
    )


def _bm25(words: ColumnElement[Any]) -> ColumnElement[float]:
    """Return SQL for BM25 of a text; every match has all words, so all weigh the same.

    For a word that occurs n times, `ts_rank` is a constant times the sum of 1/i² for
    i = 1 … n. The sum is about 1 / (n + 0.5) below its limit, so we compute n from it.
    For several words the result is near their mean n.
    """
    rank = func.ts_rank(words, sql_cast(_ANY, TSQUERY)) * (10 * _SUM_OF_SQUARES)
    count = 1 / (_SUM_OF_SQUARES - func.least(rank, 1.64)) - 0.5
    length = func.length(words) / _USUAL_WORDS
    usual = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * length
    # The form count / (count + …) would compute `count` twice.
    return sql_cast(1 / (1 + _SATURATION * usual / count), Double)


# The newest


def _select_fts5(index: str, shape: Shape) -> Select[Any]:
    entries = table(index, column("rowid", BigInteger))
    key = entries.c.rowid
    matches = literal_column(index).op("MATCH")(_ASKED)
    rows = _rows(index, entries, key, shape).where(matches, *_is_between(key, shape))
    if shape.has_taken:
        rows = rows.where(~_is_listed(key, "taken"))
    return bounded(rows.order_by(key.desc()), _MOST)


def _select_planned(index: str, shape: Shape) -> Select[Any]:
    """Let PostgreSQL choose between a walk over entries and a start from the sessions.

    PostgreSQL estimates a tenth of the real cost of reading an entry. So we let it plan
    a materialized query for `_PLANNED_FOR` rows, which favours the sessions. The outer
    query stops early, and does not sort, so the order stays.
    """
    entries = _entries(index)
    key, words = entries.c
    rows = _rows(index, entries, key, shape)
    rows = rows.where(_matches(words), *_is_between(key, shape))
    if shape.has_taken:
        rows = rows.where(~_is_listed(key, "taken"))
    planned = rows.order_by(key.desc()).limit(_PLANNED_FOR).cte()
    return bounded(select(planned.prefix_with("MATERIALIZED")), _MOST)


def _newest(shape: Shape, *, low: ColumnElement[int] | None) -> Subquery:
    entries = _entries(MESSAGES)
    within = select(entries)
    if low is not None:
        within = within.where(entries.c.id >= low)
    if shape.has_high:
        within = within.where(entries.c.id < _HIGH)
    return within.order_by(entries.c.id.desc()).limit(shape.walk).subquery("newest")


def _select_all(shape: Shape) -> Select[Any]:
    key, words = _entries(MESSAGES).c
    matching = select(key).where(_matches(words), *_is_between(key, shape))
    found = matching.cte("matching").prefix_with("MATERIALIZED")
    newest = select(found).order_by(found.c.id.desc()).subquery("newest")
    return _one_by_one(newest, shape)


def _one_by_one(newest: Subquery, shape: Shape) -> Select[Any]:
    """Select the rows of the keys in turn, until there are enough.

    PostgreSQL overestimates the number of matches, and a plain join would read all
    messages. So each row is looked up in a lateral join.
    """
    key: ColumnElement[int] = newest.c.id
    row = _rows(MESSAGES, None, key, shape).limit(1).lateral("row")
    rows = select(*row.c).select_from(newest.join(row, true()))
    if shape.has_taken:
        rows = rows.where(~_is_listed(key, "taken"))
    return bounded(rows.order_by(key.desc()), _MOST)


# Shared parts


def _entries(index: str) -> TableClause:
    return table(index, column("id", BigInteger), column("words", TSVECTOR))


def _matches(words: ColumnElement[Any]) -> ColumnElement[bool]:
    return words.bool_op("@@")(sql_cast(_ASKED, TSQUERY))


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
        owner_id=_OWNER,
        rare_facet=shape.rare_facet,
        dialect_name=shape.dialect_name,
    )
    assert chats.whereclause is not None
    return chats.whereclause


def _rows(
    index: str,
    entries: FromClause | None,
    key: ColumnElement[int] | None,
    shape: Shape,
) -> Select[Any]:
    """Select the columns of `Found` for the rows of `entries`, joined by `key`.

    Without `entries`, the row of a `key` of an outer query; without `key`, all rows.
    """
    own = _key_of(index)
    rows = Message.__table__ if index == MESSAGES else ChatSession.__table__
    columns = _message_columns() if index == MESSAGES else _name_columns()
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
    return found.select_from(rows).where(_allowed(shape))


def _key_of(index: str) -> ColumnElement[Any]:
    return _message_key() if index == MESSAGES else ChatSession.number.expression


def _message_key() -> ColumnElement[int]:
    return Message.id.expression


def _nothing(name: str, kind: Any) -> ColumnElement[Any]:
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


def _name_columns() -> list[ColumnElement[Any]]:
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
