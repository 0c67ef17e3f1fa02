"""Counts what an owner used, by period; no HTTP, no commit.

An append writes no counts. Instead the background worker adds messages to
`usage_counts` in the order of their ids, in small batches, and a query counts the
messages after them. A message is added once and is a minute old by then. On PostgreSQL
each transaction that could still commit a smaller id must have ended before. Copies in
forks count nothing, because nobody used anything for them.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from chatstore.clock import format_instant, utc_now
from chatstore.db import UtcDateTime, cached_per_database, db, is_sqlite
from chatstore.enums import UsageSplit
from chatstore.errors import Flaw, ValidationFailed
from chatstore.models import ChatSession, Message, UsageCount, UsageProgress
from chatstore.models.sessions import NAME_LENGTH, OWNER
from chatstore.periods import Period
from chatstore.store.batches import fitting
from chatstore.store.json_rows import disk_bytes
from chatstore.store.tokens import INPUT_TOKENS, OUTPUT_TOKENS, Tokens, summed

QUARTER_SECONDS = 900
_THE_ROW = 1
_TOO_MANY = "The range has more than {} counts. Give a shorter one, or no split."


@dataclass(frozen=True)
class Bounds:
    """The bounds of one batch, and of what one query counts itself.

    `extra_bytes` bound the JSON that the database parses for a batch or a query.
    """

    batch: int = 1000
    batch_extra_bytes: int = 8 * 1024 * 1024
    # A message is added when it is this old. Clocks of nodes may differ by less.
    lag: timedelta = timedelta(minutes=1)
    # A query counts the first of these numbers of messages whose JSON is small enough.
    live: Sequence[int] = (50_000, 2000, 100, 5)
    live_extra_bytes: int = 64 * 1024 * 1024
    counts: int = 100_000
    # With this many messages to count itself, a query starts the background worker.
    live_without_worker: int = 5000


BOUNDS = Bounds()


class Counts(NamedTuple):
    """What was used."""

    messages: int = 0
    bytes: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return the sums."""
        return Counts(
            self.messages + other.messages,
            self.bytes + other.bytes,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


@dataclass
class PeriodUsage:
    """The usage of one period; `parts` are by model or role, and empty without one."""

    sessions: int = 0
    counts: Counts = Counts()
    parts: dict[str, Counts] = field(default_factory=dict)

    def add(self, part: str | None, counts: Counts) -> None:
        """Add counts to the sums and to their part."""
        self.counts = self.counts.plus(counts)
        if part is not None:
            self.parts[part] = self.parts.get(part, Counts()).plus(counts)


@dataclass(frozen=True)
class Usage:
    """The usage of each period; `is_complete` unless too many messages wait.

    `needs_worker` says that the background worker should add them.
    """

    periods: Sequence[PeriodUsage]
    is_complete: bool
    needs_worker: bool


class quarter_of(FunctionElement[int]):
    """SQL for the number of quarters of an hour from 1970 to an instant."""

    name = "quarter_of"
    type = Integer()
    inherit_cache = True


@compiles(quarter_of)
def _quarter_of(element: Any, compiler: Any, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    # SQLite rounds to milliseconds, so we cut the fraction off.
    seconds = f"strftime('%s', substr({instant}, 1, 19))"
    return f"(CAST({seconds} AS INTEGER) / {QUARTER_SECONDS})"


@compiles(quarter_of, "postgresql")
def _quarter_of_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    return f"CAST(floor(extract(epoch FROM {instant}) / {QUARTER_SECONDS}) AS integer)"


_MODEL = func.coalesce(
    Message.extra["model"].as_string(), ChatSession.llm_model_name
).cast(String(NAME_LENGTH))
_IS_USED = or_(
    ChatSession.forked_from_id.is_(None), Message.timestamp >= ChatSession.created_at
)
_PLACE: dict[str, Any] = {
    "owner_id": OWNER,
    "quarter": quarter_of(Message.timestamp),
    "model": _MODEL,
    "role": Message.role,
}
_SUMS: dict[str, ColumnElement[int]] = {
    "messages": func.count().cast(BigInteger),
    "bytes": summed(func.octet_length(Message.content)),
    "input_tokens": summed(INPUT_TOKENS),
    "output_tokens": summed(OUTPUT_TOKENS),
}
# The next transaction's id, and that of the oldest running one.
_NEXT_TRANSACTION, _OLDEST_TRANSACTION = (
    literal_column(f"{function}(pg_current_snapshot())::text::bigint", BigInteger)
    for function in ("pg_snapshot_xmax", "pg_snapshot_xmin")
)
_LAST_ADDED = (
    select(UsageProgress.last_message_id)
    .where(UsageProgress.id == _THE_ROW)
    .scalar_subquery()
)


def find_horizon() -> int:
    """Return the id that the next transaction of PostgreSQL gets; 0 on SQLite."""
    if is_sqlite():
        return 0
    horizon: int = db.session.execute(select(_NEXT_TRANSACTION)).scalar_one()
    return horizon


def add_batch(*, horizon: int, bounds: Bounds = BOUNDS) -> int:
    """Add the next messages to `usage_counts`; return how many, 0 if none may be added.

    `horizon` is from `find_horizon`, called before this transaction. A transaction that
    ran then could still commit smaller ids, so nothing is added before all of them have
    ended. Nothing is added either while another process adds messages.
    """
    last = _lock_progress()
    if last is None or not _have_ended(horizon):
        return 0
    ids = _next_ids(last, bounds)
    if not ids:
        return 0
    _add_between(last, ids[-1])
    progressing = update(UsageProgress).where(UsageProgress.id == _THE_ROW)
    db.session.execute(progressing.values(last_message_id=ids[-1]))
    return len(ids)


def _lock_progress() -> int | None:
    """Return the last added id, and lock it; None if another process has locked it."""
    query = select(UsageProgress.last_message_id).where(UsageProgress.id == _THE_ROW)
    if db.session.scalar(query) is None:
        row = {"id": _THE_ROW, "last_message_id": 0}
        db.session.execute(_inserting(UsageProgress).on_conflict_do_nothing(), row)
    last: int | None = db.session.scalar(query.with_for_update(skip_locked=True))
    return last


def _have_ended(horizon: int) -> bool:
    if is_sqlite():
        return True
    oldest: int = db.session.execute(select(_OLDEST_TRANSACTION)).scalar_one()
    return oldest >= horizon


def _next_ids(last: int, bounds: Bounds) -> list[int]:
    rows = db.session.execute(
        select(Message.id, Message.timestamp, disk_bytes(Message.extra).label("bytes"))
        .where(Message.id > last)
        .order_by(Message.id)
        .limit(bounds.batch)
    )
    now = utc_now()
    # A clock that was wrong may have dated messages years ahead. They do not wait.
    old = takewhile(lambda row: abs(now - row.timestamp) >= bounds.lag, rows)
    batch = fitting(old, lambda row: row.bytes, bounds.batch_extra_bytes)
    return [row.id for row in batch]


def _add_between(after: int, last: int) -> None:
    counted = (
        select(*(each.label(name) for name, each in (_PLACE | _SUMS).items()))
        .join(ChatSession, ChatSession.id == Message.session_id)
        .where(Message.id > after, Message.id <= last, _IS_USED)
        .group_by(*_PLACE.values())
    )
    _add(counted)


def _add(counted: Select[Any]) -> None:
    adding = _inserting(UsageCount).from_select([*_PLACE, *_SUMS], counted)
    table = UsageCount.__table__.c
    db.session.execute(
        adding.on_conflict_do_update(
            index_elements=list(_PLACE),
            set_={name: table[name] + adding.excluded[name] for name in _SUMS},
        )
    )


def _inserting(model: Any) -> Any:
    inserting: Any = sqlite.insert if is_sqlite() else postgresql.insert
    return inserting(model.__table__)


def correct_tokens(message_id: int, gained: Tokens) -> None:
    """Add the tokens that an edit of a message gains, if the message was added before.

    The message must be locked and not edited yet. The lock on the progress keeps
    `add_batch` from adding the message meanwhile.
    """
    progress = select(UsageProgress.last_message_id).where(UsageProgress.id == _THE_ROW)
    last = db.session.scalar(progress.with_for_update(read=True))
    if last is None or message_id > last:
        return
    sums = {
        "messages": 0,
        "bytes": 0,
        "input_tokens": gained.input,
        "output_tokens": gained.output,
    }
    values = {name: literal(number, BigInteger) for name, number in sums.items()}
    gain = (
        select(*(each.label(name) for name, each in (_PLACE | values).items()))
        .join(ChatSession, ChatSession.id == Message.session_id)
        .where(Message.id == message_id, _IS_USED)
    )
    _add(gain)


def forget_session(session_id: UUID) -> None:
    """Take the session's messages out of the counts, before it is deleted.

    A deletion keeps the counts, because the owner did use the tokens. Only a session
    that nobody used, as those of the demo, is forgotten.
    """
    progress = select(UsageProgress.last_message_id).where(UsageProgress.id == _THE_ROW)
    last = db.session.scalar(progress.with_for_update(read=True))
    if last is None:
        return
    sums = {name: -each for name, each in _SUMS.items()}
    lost = (
        select(*(each.label(name) for name, each in (_PLACE | sums).items()))
        .join(ChatSession, ChatSession.id == Message.session_id)
        .where(Message.session_id == session_id, Message.id <= last, _IS_USED)
        .group_by(*_PLACE.values())
    )
    _add(lost)
    owner_id = select(OWNER).where(ChatSession.id == session_id).scalar_subquery()
    empty = delete(UsageCount).where(UsageCount.messages == 0)
    db.session.execute(empty.where(UsageCount.owner_id == owner_id))


def get_usage(
    periods: Sequence[Period],
    *,
    owner_id: str,
    split: UsageSplit = UsageSplit.NONE,
    bounds: Bounds = BOUNDS,
) -> Usage:
    """Return what the owner used in each of these consecutive periods.

    Messages that wait to be added are counted too, those with the smallest ids first,
    within `bounds`. Raises ValidationFailed if the answer has too many parts.
    """
    until, waiting, is_complete = _find_waiting(bounds)
    usage = [PeriodUsage() for _ in periods]
    edges = [quarter_number(each.start) for each in periods]
    edges.append(quarter_number(periods[-1].end))
    rows = db.session.execute(
        _counting(split),
        {
            "owner": owner_id,
            "until": until,
            "most": bounds.counts + 1,
            "first": edges[0],
            "end": edges[-1],
            "edges": _edges(edges),
        },
    ).all()
    has_lists = split is UsageSplit.NONE and is_sqlite()
    if len(rows) > bounds.counts:
        raise ValidationFailed([Flaw("/from", _TOO_MANY.format(bounds.counts))])
    for is_waiting, place, part, *counts in rows:
        number = bisect_right(edges, place) - 1 if is_waiting else place
        if has_lists and not is_waiting:
            # The rows of counts come first, so the period has none yet.
            usage[number].counts = Counts(*orjson.loads(part))
        else:
            usage[number].add(part, Counts(*counts))
    for number, sessions in _count_sessions(periods, owner_id):
        usage[number].sessions = sessions
    needs_worker = not is_complete or waiting >= bounds.live_without_worker
    return Usage(usage, is_complete=is_complete, needs_worker=needs_worker)


def quarter_number(instant: datetime) -> int:
    """Return the number of quarters of an hour from 1970 to the instant."""
    return int(instant.timestamp() // QUARTER_SECONDS)


def _find_waiting(bounds: Bounds) -> tuple[int, int, bool]:
    """Return the last id to count now, how many messages, and whether these are all."""
    for most in bounds.live:
        waiting = (
            select(Message.id, disk_bytes(Message.extra).label("bytes"))
            .where(Message.id > func.coalesce(_LAST_ADDED, 0))
            .order_by(Message.id)
            .limit(most)
            .subquery()
        )
        last, count, size = db.session.execute(
            select(func.max(waiting.c.id), func.count(), func.sum(waiting.c.bytes))
        ).one()
        if (size or 0) <= bounds.live_extra_bytes:
            return last or 0, count, count < most
    return last or 0, count, False


def _edges(edges: Sequence[Any]) -> Any:
    if is_sqlite():
        return orjson.dumps(list(zip(edges, edges[1:], strict=False))).decode()
    return list(edges)


@cached_per_database(maxsize=len(UsageSplit))
def _counting(split: UsageSplit) -> Any:
    """Return the query for counts: whether they wait, period or quarter, part, sums.

    One statement has one snapshot, so a message is counted once even if it is added
    meanwhile.
    """
    column = None if split is UsageSplit.NONE else split.value
    if not is_sqlite():
        adding = _adding_on_postgresql(column)
    elif column is None:
        adding = _adding_on_sqlite()
    else:
        adding = _adding_parts_on_sqlite(column)
    quarter = _PLACE["quarter"]
    waiting_part = literal(None, Text) if column is None else _PLACE[column]
    waiting = (
        select(literal(1), quarter, waiting_part, *_SUMS.values())
        .select_from(Message)
        .join(ChatSession, ChatSession.id == Message.session_id)
        .where(
            Message.id > func.coalesce(_LAST_ADDED, 0),
            Message.id <= bindparam("until", type_=BigInteger),
            _is_owned(OWNER),
            _IS_USED,
            _in_range(quarter, Integer()),
        )
        .group_by(*([quarter] if column is None else [quarter, waiting_part]))
    )
    return adding.union_all(waiting).limit(bindparam("most", type_=Integer))


_ADDED = UsageCount.__table__.c
_ADDED_SUMS = [summed(_ADDED[name]) for name in _SUMS]
_NOTHING = literal(0, BigInteger)


def _adding_on_postgresql(column: str | None) -> Select[Any]:
    number = _numbered(_ADDED.quarter, Integer())
    part = literal(None, Text) if column is None else _ADDED[column]
    return (
        select(literal(0).label("waits"), number, part, *_ADDED_SUMS)
        .where(_is_owned(_ADDED.owner_id), _in_range(_ADDED.quarter, Integer()))
        .group_by(*([number] if column is None else [number, part]))
    )


def _adding_on_sqlite() -> Select[Any]:
    """Return a query whose `part` is the JSON list of the sums of a period.

    SQLite would sort all rows to group them. A subquery for each period reads them in
    the order of the index.
    """
    each, number, is_in_period = _each_period()
    sums = (
        select(func.json_array(*_ADDED_SUMS))
        .where(_is_owned(_ADDED.owner_id), is_in_period(_ADDED.quarter))
        .correlate(each)
        .scalar_subquery()
    )
    nothing = [_NOTHING] * len(_ADDED_SUMS)
    return select(literal(0).label("waits"), number, sums, *nothing).select_from(each)


def _adding_parts_on_sqlite(column: str) -> Select[Any]:
    each, number, is_in_period = _each_period()
    is_counted = and_(_is_owned(_ADDED.owner_id), is_in_period(_ADDED.quarter))
    part = _ADDED[column]
    # An outer join makes SQLite look up the rows of each period in the index. Periods
    # without rows are left out in HAVING, because a WHERE would make it an inner join.
    return (
        select(literal(0).label("waits"), number, part, *_ADDED_SUMS)
        .select_from(each.outerjoin(UsageCount.__table__, is_counted))
        .group_by(number, part)
        .having(func.count(_ADDED.owner_id) > 0)
    )


def _numbered(column: Any, kind: Any) -> ColumnElement[int]:
    """Return PostgreSQL's number of the period between `edges` that has the column."""
    edges = bindparam("edges", type_=postgresql.ARRAY(kind))
    return func.width_bucket(column, edges, type_=Integer) - 1


def _in_range(column: Any, kind: Any) -> ColumnElement[bool]:
    first, end = bindparam("first", type_=kind), bindparam("end", type_=kind)
    return and_(column >= first, column < end)


def _each_period() -> tuple[Any, ColumnElement[int], Callable[[Any], Any]]:
    """Return SQLite's rows of the periods between `edges`, and their numbers.

    The function returns the condition that a column is in the period of the row.
    """
    edges = bindparam("edges", type_=Text)
    each = func.json_each(edges).table_valued("key", "value", name="period")
    start, end = (func.json_extract(each.c.value, f"$[{place}]") for place in (0, 1))
    number = cast(each.c.key, Integer)
    return each, number, lambda column: and_(column >= start, column < end)


def _is_owned(owner: ColumnElement[str]) -> ColumnElement[bool]:
    return owner == bindparam("owner", type_=Text)


def _count_sessions(
    periods: Sequence[Period], owner_id: str
) -> Sequence[tuple[int, int]]:
    """Return the number of each period that has sessions, and how many."""
    edges: list[Any] = [each.start for each in periods] + [periods[-1].end]
    values: Mapping[str, Any] = {"owner": owner_id}
    if is_sqlite():
        values = {**values, "edges": _edges([format_instant(each) for each in edges])}
    else:
        values = {**values, "edges": edges, "first": edges[0], "end": edges[-1]}
    rows = db.session.execute(_counting_sessions(), values)
    return [(number, count) for number, count in rows]


@cached_per_database(maxsize=1)
def _counting_sessions() -> Any:
    table = ChatSession.__table__.c
    if not is_sqlite():
        number = _numbered(table.created_at, UtcDateTime())
        in_range = _in_range(table.created_at, UtcDateTime())
        counting = select(number, func.count()).where(_is_owned(table.owner_id))
        return counting.where(in_range).group_by(number)
    each, number, is_in_period = _each_period()
    count = (
        select(func.count())
        .where(_is_owned(table.owner_id), is_in_period(table.created_at))
        .correlate(each)
        .scalar_subquery()
    )
    return select(number, count).select_from(each)
