"""The SQL statements of search; `plans` decides which of them to run.

Building a statement costs more than running it, so each is built once per `Shape`.
PostgreSQL plans it for its parameters at every run, because the right plan depends on
the words.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Double,
    FromClause,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    true,
    union_all,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.types import NullType

from chatstore.db import cached_per_database, is_sqlite
from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import SearchSort
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, Message
from chatstore.store.search.criteria import SAMPLED, Shape
from chatstore.store.search.rows import (
    HIGH,
    INDEX_QUERY,
    LOW,
    OWNER,
    index_entries,
    is_in_window,
    is_listed,
    key_of,
    matches_query,
    message_key,
    name_columns,
    select_rows,
    session_conditions,
    typed_null,
)
from chatstore.store.search.searched import SEARCHED, SEARCHED_BYTES

# The number of messages that are probed for their owner.
PROBES = 16
# PostgreSQL plans some statements for this many rows. For so large a result it starts
# from the sessions if they are few.
_PLANNED_FOR = 1000
# BM25 (Robertson and Zaragoza, 2009) with its usual constants, and the number of
# different words in a usual message.
_SATURATION, _LENGTH_WEIGHT, _USUAL_WORDS = 1.2, 0.75, 75.0
_SUM_OF_SQUARES = 1.6449341  # of 1/n² for all n: π²/6

_LIMIT = bindparam("limit", type_=Integer)
_FLOOR = bindparam("floor", type_=BigInteger)
_WINDOW = bindparam("window", type_=Integer)
_ANY_WORD = bindparam("any_word", type_=Text)
_PER_SESSION = bindparam("per_session", type_=Integer)


# Prepared statements


@cached_per_database(maxsize=64)
def prepare_first_look(
    shape: Shape, *, names: bool, sessions: bool, sample: bool
) -> Prepared:
    """Return a statement with rows (kind, low, rank, *MatchRow).

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
    return Prepared(whole, plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_best(shape: Shape) -> Prepared:
    """Return a statement with rows (low, rank, *MatchRow): the best of a window.

    With `shape.group_sort` the rows are (low, rank, key, session id, count): up to
    `per_session` matches of each session, and how many the window has of the session.
    There is at least one row; its key is null if nothing was found.
    """
    return Prepared(_select_best(MESSAGES, shape), plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_best_of_walk(shape: Shape) -> Prepared:
    """Return `prepare_best` for PostgreSQL, over entries with `id >= floor` only."""
    newest = _walked_entries(shape, low=_FLOOR)
    matching = select(newest).where(matches_query(newest.c.words)).limit(_WINDOW + 1)
    matches = matching.cte("matching").prefix_with("MATERIALIZED")
    edge = _window_edge(matches.c.id, shape)
    ranked = select(matches.c.id.label("key"), _bm25(matches.c.words).label("rank"))
    best = _select_best_rows(MESSAGES, shape, edge, ranked, matches.c.id)
    return Prepared(_join_edge(edge, best), plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_best_of_range(shape: Shape) -> Prepared:
    """Return `prepare_best` for PostgreSQL, for matches with `floor <= id < high`.

    It ranks all of them, so the caller must choose a `floor` near the window's end.
    """
    entries = index_entries(MESSAGES)
    key, words = entries.c
    rank = _bm25(words).label("rank")
    within = select(key.label("key"), rank).where(
        matches_query(words), _is_in_range(key)
    )
    matching = within.cte("matching").prefix_with("MATERIALIZED")
    edge = _window_edge(matching.c.key, shape)
    ranked = select(matching)
    best = _select_best_rows(MESSAGES, shape, edge, ranked, matching.c.key)
    return Prepared(_join_edge(edge, best), plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_newest_of_walk(shape: Shape) -> Prepared:
    """Return a statement for the newest matches among the newest `walk` entries."""
    newest = _walked_entries(shape, low=LOW if shape.has_low else None)
    rows = _look_up_rows(newest, shape)
    return Prepared(rows.where(matches_query(newest.c.words)), plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_newest(shape: Shape) -> Prepared:
    """Return a statement for the newest matching messages, newest first.

    If `shape.by_seq`, for the first messages, in the order of their seq.
    """
    if is_sqlite():
        return Prepared(_select_newest_fts5(MESSAGES, shape))
    if shape.is_narrow:
        return Prepared(_select_newest_planned(MESSAGES, shape), plans_each_run=True)
    return Prepared(_select_newest_of_all(shape), plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_count(shape: Shape, *, names: bool) -> Prepared:
    """Return a statement with a row (examined, counted) of up to `window + 1` matches.

    Of the matches that it examines, it counts those that meet the conditions.
    """
    index = NAMES if names else MESSAGES
    examined = _select_some(index, shape).cte("examined").prefix_with("MATERIALIZED")
    shown = _look_up(examined, examined.c.key, index, shape, []).subquery("shown")
    counts = [select(func.count()).select_from(each) for each in (examined, shown)]
    whole = select(*(each.scalar_subquery() for each in counts))
    return Prepared(whole, plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_sizes(shape: Shape, *, names: bool) -> Prepared:
    """Return a statement with rows (key, bytes) of up to `window + 1` newest matches.

    The rows meet the conditions.
    """
    index = NAMES if names else MESSAGES
    size = name_columns()[1] if names else SEARCHED_BYTES.label("bytes")
    examined = _select_some(index, shape).cte("examined").prefix_with("MATERIALIZED")
    rows = _look_up(examined, examined.c.key, index, shape, [size])
    return Prepared(rows.order_by(examined.c.key.desc()), plans_each_run=True)


@cached_per_database(maxsize=64)
def prepare_by_keys(shape: Shape, *, names: bool) -> Prepared:
    """Return a statement for the rows with these `keys` that match the filters."""
    index = NAMES if names else MESSAGES
    rows = select_rows(index, None, None, shape)
    return Prepared(rows.where(is_listed(key_of(index), "keys")))


@cache
def prepare_texts() -> Prepared:
    """Return a statement with rows (key, first `length` characters) of messages."""
    text = func.substr(SEARCHED, 1, bindparam("length", type_=Integer))
    return Prepared(select(Message.id, text).where(is_listed(message_key(), "keys")))


# Some matches, to count them


def _select_some(index: str, shape: Shape) -> Select[Any]:
    """Select the keys of up to `window + 1` matches, on SQLite the newest.

    PostgreSQL reads its materialized matches only as far as they are asked for, and it
    plans them as if all were read. So it starts from the index of words.
    """
    if is_sqlite():
        key: ColumnElement[int] = table(index, column("rowid", BigInteger)).c.rowid
        condition: ColumnElement[bool] = literal_column(index).op("MATCH")(INDEX_QUERY)
    else:
        key, words = index_entries(index).c
        condition = matches_query(words)
    matching = select(key.label("key")).where(condition, *is_in_window(key, shape))
    if shape.has_ranked:
        matching = matching.where(~is_listed(key, "ranked_keys"))
    if is_sqlite():
        return bounded(matching.order_by(key.desc()), _WINDOW + 1)
    found = matching.cte("matching").prefix_with("MATERIALIZED")
    return bounded(select(found), _WINDOW + 1)


# The first look


def _select_names(shape: Shape) -> Select[Any]:
    """Select (low, rank, *MatchRow) of names that match."""
    if shape.by_rank:
        return _select_best(NAMES, shape)
    select_newest = _select_newest_fts5 if is_sqlite() else _select_newest_planned
    newest = select_newest(NAMES, shape).subquery()
    return select(
        typed_null("low", BigInteger()), typed_null("rank", Double()), *newest.c
    )


def _select_sessions(shape: Shape) -> Select[Any]:
    """Select sessions that match the filters, with key 0."""
    some = select(
        literal_column("'session'").label("kind"),
        typed_null("low", BigInteger()),
        typed_null("rank", Double()),
        literal_column("0").label("key"),
        *name_columns(),
    )
    some = some.where(session_conditions(shape))
    return bounded(some, bindparam("max_sessions", type_=Integer))


def _select_sample(shape: Shape, *, has_high: bool) -> Select[Any]:
    newest = select(func.max(Message.id)).scalar_subquery()
    first = HIGH - 1 if has_high else newest
    matching = literal_column("0") if is_sqlite() else _count_sample(shape, first)
    nothing = [
        typed_null(each.name, each.type)
        if not isinstance(each.type, NullType)
        else each  # each part of a union must type its columns
        for each in name_columns()
    ]
    return select(
        literal_column("'sample'").label("kind"),
        newest.label("low"),
        sql_cast(matching, Double).label("rank"),
        _count_own(shape, newest).label("key"),
        *nothing,
    )


def _count_sample(shape: Shape, first: ColumnElement[int]) -> ColumnElement[int]:
    """Return SQL for the number of matches in a sample, at most `max_sampled`."""
    spread = func.least(first, shape.walk) / SAMPLED
    # People and assistants take turns, so the step is odd.
    step = sql_cast(spread, BigInteger).op("|")(1)
    entries = index_entries(MESSAGES)
    # No message has a key below 1, so the series ends there.
    last = func.greatest(first - shape.walk, 1)
    place = func.generate_series(first, last, -step)
    places = select(place.label("id")).subquery("places")
    # PostgreSQL would read all matches from the index, so we look up each place alone.
    at = select(entries).where(entries.c.id == places.c.id).limit(1).lateral("at")
    sample = select(at.c.id).select_from(places.join(at, true()))
    max_sampled = bindparam("max_sampled", type_=Integer)
    matching = (
        sample.where(matches_query(at.c.words)).limit(max_sampled).subquery("sampled")
    )
    return select(func.count()).select_from(matching).scalar_subquery()


def _count_own(shape: Shape, newest: ColumnElement[int]) -> ColumnElement[int]:
    """Return SQL for how many of `PROBES` evenly spread messages are the owner's."""
    if is_sqlite():
        numbers = f"[{','.join(map(str, range(PROBES)))}]"
        series: Any = func.json_each(numbers).table_valued("value", name="probes")
    else:
        numbered = func.generate_series(0, PROBES - 1).label("value")
        series = select(numbered).subquery("probes")
    probed = newest - sql_cast(series.c.value, BigInteger) * (newest // PROBES)
    chats = ChatSession.__table__
    session_id: ColumnElement[Any] = Message.session_id.expression
    owner: ColumnElement[Any] = ChatSession.owner_id.expression
    if is_sqlite():
        # Without the plus, SQLite uses an index on these columns and starts from all
        # sessions and messages of the owner, which takes seconds.
        session_id = literal_column("+chat_messages.session_id", session_id.type)
        owner = literal_column("+sessions.owner_id", owner.type)
    rows = series.join(Message, Message.id == probed)
    rows = rows.join(chats, ChatSession.id == session_id)
    own = select(func.count()).select_from(rows).where(owner == OWNER)
    return own.scalar_subquery()


# The best of a window


def _select_best(index: str, shape: Shape) -> Select[Any]:
    if is_sqlite():
        return _select_best_fts5(index, shape)
    entries = index_entries(index)
    matching = select(entries.c.id).where(
        matches_query(entries.c.words), *is_in_window(entries.c.id, shape)
    )
    found = matching.cte("matching").prefix_with("MATERIALIZED")
    newest = select(found).order_by(found.c.id.desc()).limit(_WINDOW + 1)
    matches = newest.cte("newest").prefix_with("MATERIALIZED")
    edge = _window_edge(matches.c.id, shape)
    at = select(entries.c.words).where(entries.c.id == matches.c.id).limit(1)
    words = at.lateral("at")
    ranked = select(matches.c.id.label("key"), _bm25(words.c.words).label("rank"))
    ranked = ranked.select_from(matches.join(words, true()))
    return _join_edge(edge, _select_best_rows(index, shape, edge, ranked, matches.c.id))


def _select_best_fts5(index: str, shape: Shape) -> Select[Any]:
    entries = table(index, column("rowid", BigInteger))
    key, matches = entries.c.rowid, literal_column(index).op("MATCH")(INDEX_QUERY)
    edge = _window_edge(key, shape, matches, *is_in_window(key, shape))
    rank = -func.bm25(literal_column(index), 1.0, 0.0)  # the scopes do not count
    found = select(key.label("key"), rank.label("rank")).where(
        matches, *is_in_window(key, shape)
    )
    return _join_edge(edge, _select_best_rows(index, shape, edge, found, key))


def _window_edge(
    key: ColumnElement[int], shape: Shape, *conditions: ColumnElement[bool]
) -> CTE:
    """Return a CTE of `low`: the window's first key, or 0 if no match is below it."""
    low: ColumnElement[Any] = LOW
    if not shape.has_low:
        beyond = select(key + 1).where(*conditions).order_by(key.desc())
        last = bounded(beyond, literal_column("1"), _WINDOW).scalar_subquery()
        low = func.coalesce(last, 0)
    low = sql_cast(low, BigInteger)
    return select(low.label("low")).cte("edge").prefix_with("MATERIALIZED")


def _select_best_rows(
    index: str,
    shape: Shape,
    edge: CTE,
    matches: Select[Any],
    match_key: ColumnElement[int],
) -> Subquery:
    """Select the rows of the best `matches` (key, rank) with `key >= edge.low`."""
    matches = matches.where(match_key >= select(edge.c.low).scalar_subquery())
    if shape.has_ranked:
        matches = matches.where(~is_listed(match_key, "ranked_keys"))
    found = matches.cte("matches").prefix_with("MATERIALIZED")
    if shape.group_sort is not None:
        return _select_sessions_of(found, index, shape)
    in_order = (found.c.rank.desc(), found.c.key.desc())
    best_first: Select[Any] = select(found).order_by(*in_order)
    ranked = bounded(best_first, _WINDOW).subquery("ranked")
    if is_sqlite():
        # SQLite reads a subquery in the subquery's order, and stops at the limit.
        rows = select_rows(index, ranked, ranked.c.key, shape)
        return bounded(rows.add_columns(ranked.c.rank), _LIMIT).subquery("best")
    row = select_rows(index, None, ranked.c.key, shape).limit(1).lateral("row")
    shown: Select[Any] = select(*row.c, ranked.c.rank)
    shown = shown.select_from(ranked.join(row, true()))
    in_order = (ranked.c.rank.desc(), ranked.c.key.desc())
    return bounded(shown.order_by(*in_order), _LIMIT).subquery("best")


def _select_sessions_of(matches: CTE, index: str, shape: Shape) -> Subquery:
    """Select the best rows (key, session_id, count, rank) of each session."""
    rows = _look_up(matches, matches.c.key, index, shape, [ChatSession.id])
    rows = rows.add_columns(matches.c.rank)
    found = rows.subquery("found")
    key, session_id, rank = found.c
    if shape.group_sort is SearchSort.NEWEST:
        rank = sql_cast(key, Double).label("rank")
    in_order = (rank.desc(), key.desc())
    number = func.row_number().over(partition_by=session_id, order_by=in_order)
    count = func.count().over(partition_by=session_id)
    numbered = select(
        key,
        session_id.label("session_id"),
        count.label("count"),
        rank.label("rank"),
        number.label("number"),
    ).subquery("numbered")
    best = select(*[each for each in numbered.c if each.name != "number"])
    best = best.where(numbered.c.number <= _PER_SESSION)
    best = best.order_by(numbered.c.rank.desc(), numbered.c.key.desc())
    return bounded(best, _LIMIT).subquery("best")


def _look_up(
    matches: FromClause,
    key: ColumnElement[int],
    index: str,
    shape: Shape,
    columns: Sequence[Any],
) -> Select[Any]:
    """Select the key and `columns` of each match that meets the conditions.

    PostgreSQL overestimates the number of matches, and a plain join would read all
    messages. So each row is looked up in a lateral join.
    """
    if is_sqlite():
        return select_rows(index, matches, key, shape, columns)
    row = select_rows(index, None, key, shape, columns).limit(1).lateral("row")
    return select(*row.c).select_from(matches.join(row, true()))


def _join_edge(edge: CTE, best: Subquery) -> Select[Any]:
    """Select (low, rank, *MatchRow); one row with `low` alone if nothing was found."""
    found = [each for each in best.c if each.name != "rank"]
    return select(edge.c.low, best.c.rank, *found).select_from(
        edge.outerjoin(best, true())
    )


def _is_in_range(key: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition `floor <= key < high` in a form with OR.

    PostgreSQL underestimates the cost of `@@`, so it would read and compare all entries
    of a plain range. It can look up an OR only with a bitmap. It combines that bitmap
    with the bitmap of the words, and so reads only the entries that match.
    """
    return or_(key == _FLOOR, and_(key > _FLOOR, key < HIGH))


def _bm25(words: ColumnElement[Any]) -> ColumnElement[float]:
    """Return SQL for BM25 of a text; every match has all words, so all weigh the same.

    For a word that occurs n times, `ts_rank` is a constant times the sum of 1/i² for
    i = 1 … n. The sum is about 1 / (n + 0.5) below its limit, so we compute n from it.
    For several words the result is near their mean n.
    """
    rank = func.ts_rank(words, sql_cast(_ANY_WORD, TSQUERY)) * (10 * _SUM_OF_SQUARES)
    count = 1 / (_SUM_OF_SQUARES - func.least(rank, 1.64)) - 0.5
    length = func.length(words) / _USUAL_WORDS
    usual = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * length
    # The form count / (count + …) would compute `count` twice.
    return sql_cast(1 / (1 + _SATURATION * usual / count), Double)


# Statements for the newest matches


def _select_newest_fts5(index: str, shape: Shape) -> Select[Any]:
    entries = table(index, column("rowid", BigInteger))
    key = entries.c.rowid
    matches = literal_column(index).op("MATCH")(INDEX_QUERY)
    rows = select_rows(index, entries, key, shape).where(
        matches, *is_in_window(key, shape)
    )
    if shape.has_ranked:
        rows = rows.where(~is_listed(key, "ranked_keys"))
    return bounded(rows.order_by(_in_turn(key, shape)), _LIMIT)


def _in_turn(key: ColumnElement[int], shape: Shape) -> ColumnElement[int]:
    # The keys of a session's messages are their ids, which ascend with the seq.
    return key.asc() if shape.by_seq else key.desc()


def _select_newest_planned(index: str, shape: Shape) -> Select[Any]:
    """Let PostgreSQL choose between a walk over entries and a start from the sessions.

    PostgreSQL estimates a tenth of the real cost of reading an entry. So we let it plan
    a materialized query for `_PLANNED_FOR` rows, which favours the sessions. The outer
    query stops early, and does not sort, so the order stays.
    """
    entries = index_entries(index)
    key, words = entries.c
    rows = select_rows(index, entries, key, shape)
    rows = rows.where(matches_query(words), *is_in_window(key, shape))
    if shape.has_ranked:
        rows = rows.where(~is_listed(key, "ranked_keys"))
    planned = rows.order_by(key.desc()).limit(_PLANNED_FOR).cte()
    return bounded(select(planned.prefix_with("MATERIALIZED")), _LIMIT)


def _walked_entries(shape: Shape, *, low: ColumnElement[int] | None) -> Subquery:
    entries = index_entries(MESSAGES)
    within = select(entries)
    if low is not None:
        within = within.where(entries.c.id >= low)
    if shape.has_high:
        within = within.where(entries.c.id < HIGH)
    return within.order_by(entries.c.id.desc()).limit(shape.walk).subquery("newest")


def _select_newest_of_all(shape: Shape) -> Select[Any]:
    key, words = index_entries(MESSAGES).c
    matching = select(key).where(matches_query(words), *is_in_window(key, shape))
    found = matching.cte("matching").prefix_with("MATERIALIZED")
    newest = select(found).order_by(_in_turn(found.c.id, shape)).subquery("newest")
    return _look_up_rows(newest, shape)


def _look_up_rows(newest: Subquery, shape: Shape) -> Select[Any]:
    """Select the rows of the keys in turn, until there are enough.

    PostgreSQL overestimates the number of matches, and a plain join would read all
    messages. So each row is looked up in a lateral join.
    """
    key: ColumnElement[int] = newest.c.id
    row = select_rows(MESSAGES, None, key, shape).limit(1).lateral("row")
    rows = select(*row.c).select_from(newest.join(row, true()))
    if shape.has_ranked:
        rows = rows.where(~is_listed(key, "ranked_keys"))
    return bounded(rows.order_by(_in_turn(key, shape)), _LIMIT)
