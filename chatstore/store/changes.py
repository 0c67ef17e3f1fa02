"""Reads the change feed: what changed of an owner's sessions; no HTTP, no commit.

A change may be read once no earlier one can appear any more. The *horizon* is the first
change id of which that is not known: on PostgreSQL the oldest running transaction's
id, on SQLite the next number of the counter.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    column,
    delete,
    func,
    inspect,
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.clock import utc_now
from chatstore.db import (
    UtcDateTime,
    cached_per_database,
    db,
    is_sqlite,
    read_connection,
)
from chatstore.db.prepared import Prepared, bounded
from chatstore.errors import TokenExpired
from chatstore.models import (
    ChangeFeed,
    ChatSession,
    Message,
    MessageChange,
    SessionTombstone,
)
from chatstore.store.json_rows import as_uuid
from chatstore.store.messages import MAX_ID
from chatstore.store.validators import Horizon

_GREATEST_UUID = UUID(int=2**128 - 1)
_BATCH = 1000


class FeedMissing(LookupError):
    """The row of the feed is missing, because somebody emptied its table."""


class Kind(IntEnum):
    """What changed, in the order in which one change id is read."""

    SESSION = 0
    MESSAGE = 1
    TOMBSTONE = 2
    # Only in positions: after everything with the change id.
    ALL = 3


@dataclass(frozen=True, kw_only=True)
class FeedPosition:
    """A place in a feed: all changes up to it, itself included, have been read.

    A position never lies beyond a change that is committed. PostgreSQL may use the ids
    of transactions that did not commit again after a crash, so a position at the
    horizon would miss changes.
    """

    feed_id: UUID
    change_id: int
    kind: Kind
    # The id of the session or of the message; None for `ALL`.
    key: UUID | int | None
    # When all changes up to some position were last read.
    issued_at: datetime


@dataclass(frozen=True)
class ChangePage:
    """JSON texts of changes, and the position after them."""

    changes: Sequence[str]
    next: FeedPosition
    has_more: bool


class _Row(NamedTuple):
    """A row of the feed, with the driver's values.

    `session_revision` and the columns after it are null if the owner does not see the
    session now.
    """

    feed_id: Any
    horizon: int
    change_id: int | None
    kind: int
    session_id: Any
    message_id: int | None
    seq: int | None
    message_revision: int | None
    session_revision: int | None
    last_seq: int | None
    head_seq: int | None
    is_new: Any


def read_changes(
    owner_id: str, *, after: FeedPosition, limit: int, tombstone_days: int
) -> ChangePage:
    """Return up to `limit` of the owner's changes after a position, in one statement.

    A page has each session and each message once, as it is now, so it may be shorter
    than `limit`; it is empty only if nothing is left to read. Raises TokenExpired if
    deletions after the position may be forgotten, or if it is not of this feed, and
    FeedMissing.
    """
    now = utc_now()
    arguments = {"the_owner": owner_id, "since": after.issued_at, "most": limit + 1}
    with read_connection() as connection:
        found = _changes.rows(connection, arguments | _places(after))
    rows = [_Row(*row) for row in found]
    if not rows:
        raise FeedMissing
    if now - after.issued_at > timedelta(days=tombstone_days):
        raise TokenExpired(f"The token is older than {tombstone_days} days.")
    is_of_feed = as_uuid(rows[0].feed_id) == after.feed_id
    if not is_of_feed or after.change_id >= rows[0].horizon:
        raise TokenExpired("The database was restored after the token was made.")
    page = [row for row in rows[:limit] if row.change_id is not None]
    has_more = len(rows) > limit
    place = _position(page[-1], after) if page else after
    if not has_more:
        place = replace(place, issued_at=now)
    return ChangePage(_entries(page), place, has_more)


def current_position(owner_id: str) -> FeedPosition:
    """Return the position after all changes of the owner; raises FeedMissing."""
    now = utc_now()
    with read_connection() as connection:
        found = _current.rows(connection, {"the_owner": owner_id})
    if not found:
        raise FeedMissing
    feed_id, *ids = found[0]
    return FeedPosition(
        feed_id=as_uuid(feed_id),
        change_id=max(each or 0 for each in ids),
        kind=Kind.ALL,
        key=None,
        issued_at=now,
    )


def create_feed() -> None:
    """Write the missing row of the feed, with a new id."""
    insert: Any = sqlite.insert if is_sqlite() else postgresql.insert
    row = {"id": 1, "feed_id": uuid4(), "last_change_id": 0}
    db.session.execute(insert(ChangeFeed).values(row).on_conflict_do_nothing())


def renew_feed() -> bool:
    """Give the feed a new id, so that earlier tokens expire.

    Returns whether there is a feed; a schema of an older version has none.
    """
    if not inspect(db.session.connection()).has_table(ChangeFeed.__tablename__):
        return False
    create_feed()
    db.session.execute(update(ChangeFeed).values(feed_id=uuid4()))
    return True


# The tables with change ids, and the keys in whose order they are renumbered.
NUMBERED: dict[type[Any], tuple[Any, ...]] = {
    ChatSession: (ChatSession.id,),
    MessageChange: (MessageChange.message_id,),
    SessionTombstone: (SessionTombstone.session_id, SessionTombstone.owner_id),
}


def renumber_batch(
    table: type[Any], *, after: tuple[Any, ...] | None
) -> tuple[Any, ...] | None:
    """Renumber a batch of the rows beyond the horizon, on PostgreSQL.

    The dump of another PostgreSQL server may have ids that this one has not reached. A
    change would then get a smaller id than the row had before. Returns the key of the
    last row, or None if none is left after the key `after`.
    """
    key = NUMBERED[table]
    beyond = select(*key).where(table.change_id >= Horizon()).order_by(*key)
    if after is not None:
        beyond = beyond.where(tuple_(*key) > after)
    keys = [tuple(row) for row in db.session.execute(beyond.limit(_BATCH))]
    if not keys:
        return None
    transaction_id = func.pg_current_xact_id()
    current = sql_cast(sql_cast(transaction_id, Text), BigInteger)
    # The trigger of sessions writes the same number.
    numbering = update(table).where(tuple_(*key).in_(keys)).values(change_id=current)
    db.session.execute(numbering.execution_options(synchronize_session=False))
    return keys[-1]


def purge_tombstones(*, before: datetime) -> int:
    """Delete a batch of the tombstones written before the instant; return how many."""
    old = (
        select(SessionTombstone.session_id, SessionTombstone.owner_id)
        .where(SessionTombstone.deleted_at < before)
        .order_by(SessionTombstone.deleted_at, SessionTombstone.session_id)
        .limit(_BATCH)
    )
    keys = [tuple(row) for row in db.session.execute(old)]
    if not keys:
        return 0
    purged = (
        delete(SessionTombstone)
        .where(
            tuple_(SessionTombstone.session_id, SessionTombstone.owner_id).in_(keys),
            # It may be newer now: the session was created and deleted once more.
            SessionTombstone.deleted_at < before,
        )
        .returning(SessionTombstone.session_id)
    )
    db.session.execute(purged)
    return len(keys)


def last_change_ids(owner_ids: Collection[str]) -> dict[str, int]:
    """Return each owner's greatest change id below the horizon; 0 without a change.

    It costs three look-ups in an index per owner, in one statement. An owner has
    changes after a position if the id is greater than the position's.
    """
    owners = orjson.dumps(list(owner_ids)).decode()
    with read_connection() as connection:
        rows = _last_change_ids().rows(connection, {"owners": owners})
    return {owner_id: max(each or 0 for each in ids) for owner_id, *ids in rows}


def _greatest_ids(owner_id: ColumnElement[str]) -> list[ColumnElement[Any]]:
    return [
        select(table.change_id)
        .where(table.owner_id == owner_id, table.change_id < Horizon())
        .order_by(table.change_id.desc())
        .limit(1)
        .scalar_subquery()
        for table in (ChatSession, MessageChange, SessionTombstone)
    ]


@cached_per_database(maxsize=1)
def _last_change_ids() -> Prepared:
    owners = bindparam("owners", type_=Text)
    elements: Any = (
        func.json_each(owners)
        if is_sqlite()
        else func.json_array_elements_text(sql_cast(owners, JSON))
    )
    owner_id = elements.table_valued(column("value", Text), name="owners").c.value
    columns: list[ColumnElement[Any]] = [owner_id, *_greatest_ids(owner_id)]
    return Prepared(select(*columns))


_OWNER = bindparam("the_owner", type_=ChatSession.owner_id.type)
_MOST = bindparam("most", type_=Integer)
_current = Prepared(select(ChangeFeed.feed_id, *_greatest_ids(_OWNER)))


def _null(kind: Any) -> ColumnElement[Any]:
    return sql_cast(null(), kind)


def _of_visible_session(value: Any, session_id: Any) -> ColumnElement[Any]:
    """Return a value of the owner's session, or null if the owner does not see it."""
    is_own = and_(ChatSession.id == session_id, ChatSession.owner_id == _OWNER)
    return select(value).where(is_own).scalar_subquery()


_HEAD_SEQ = func.coalesce(ChatSession.head_seq, func.nullif(ChatSession.last_seq, 0))
_STATE = (ChatSession.revision, ChatSession.last_seq, _HEAD_SEQ)


def _part(kind: Kind, table: Any, key: Any, columns: Iterable[Any]) -> Select[Any]:
    """Select the first rows of a table after the place of this kind, by its index."""
    place = tuple_(
        bindparam(f"change_after_{kind}", type_=BigInteger),
        bindparam(f"key_after_{kind}", type_=key.type),
    )
    names = _Row._fields[4:]
    named = [each.label(name) for name, each in zip(names, columns, strict=True)]
    rows = (
        select(table.change_id, literal_column(str(int(kind))).label("kind"), *named)
        .where(
            table.owner_id == _OWNER,
            tuple_(table.change_id, key) > place,
            table.change_id < Horizon(),
        )
        .order_by(table.change_id, key)
    )
    return select(bounded(rows, _MOST).subquery())


def _page() -> FromClause:
    """Return the first rows of all three tables, in the order of positions."""
    is_new: ColumnElement[bool] = ChatSession.created_at >= bindparam(
        "since", type_=UtcDateTime
    )
    no_id, no_number = _null(BigInteger), _null(Integer)
    message_revision = (
        select(Message.revision)
        .where(Message.id == MessageChange.message_id)
        .scalar_subquery()
    )
    sessions = [ChatSession.id, no_id, no_number, no_number, *_STATE, is_new]
    messages = [
        MessageChange.session_id,
        MessageChange.message_id,
        MessageChange.seq,
        message_revision,
        _of_visible_session(ChatSession.revision, MessageChange.session_id),
        no_number,
        no_number,
        _null(Boolean),
    ]
    tombstones = [
        SessionTombstone.session_id,
        no_id,
        no_number,
        no_number,
        *(_of_visible_session(each, SessionTombstone.session_id) for each in _STATE),
        true(),
    ]
    parts = union_all(
        _part(Kind.SESSION, ChatSession, ChatSession.id, sessions),
        _part(Kind.MESSAGE, MessageChange, MessageChange.message_id, messages),
        _part(
            Kind.TOMBSTONE, SessionTombstone, SessionTombstone.session_id, tombstones
        ),
    ).subquery()
    return bounded(select(parts).order_by(*_order(parts)), _MOST).subquery()


def _order(rows: FromClause) -> list[ColumnElement[Any]]:
    return [rows.c[name] for name in ("change_id", "kind", "message_id", "session_id")]


def _with_feed(page: FromClause) -> Select[Any]:
    """Select the rows of a page; an empty page has one row, with the feed only."""
    return (
        select(ChangeFeed.feed_id, Horizon(), page)
        .select_from(ChangeFeed.__table__.outerjoin(page, true()))
        .order_by(*_order(page))
    )


_changes = Prepared(_with_feed(_page()))


def _places(after: FeedPosition) -> dict[str, Any]:
    """Return the parameters of `_part` for each kind."""
    greatest = {Kind.SESSION: _GREATEST_UUID, Kind.TOMBSTONE: _GREATEST_UUID}
    places: dict[str, Any] = {}
    for kind in (Kind.SESSION, Kind.MESSAGE, Kind.TOMBSTONE):
        change_id, key = after.change_id, after.key
        if kind is not after.kind:
            key = greatest.get(kind, MAX_ID)
        if kind > after.kind:
            change_id -= 1
        places |= {f"change_after_{kind}": change_id, f"key_after_{kind}": key}
    return places


def _position(row: _Row, after: FeedPosition) -> FeedPosition:
    assert row.change_id is not None
    kind = Kind(row.kind)
    key = row.message_id if kind is Kind.MESSAGE else as_uuid(row.session_id)
    return replace(after, change_id=row.change_id, kind=kind, key=key)


def _entries(rows: Iterable[_Row]) -> list[str]:
    """Return each session and message once, at the place of its last change."""
    entries: dict[Any, dict[str, Any]] = {}
    for row in rows:
        entry = _entry(row)
        key = (row.session_id, row.message_id if "seq" in entry else None)
        earlier = entries.pop(key, {})
        if earlier.get("is_new") and "revision" in entry:
            entry["is_new"] = True
        entries[key] = entry
    return [orjson.dumps(entry).decode() for entry in entries.values()]


def _entry(row: _Row) -> dict[str, Any]:
    session_id = as_uuid(row.session_id)
    if row.session_revision is None:
        # A changed message of a deleted session reports the deletion too. The client
        # then reads all messages again if the session is restored before its tombstone
        # is read.
        return {"kind": "session", "session_id": session_id, "deleted": True}
    if row.kind == Kind.MESSAGE:
        return {
            "kind": "message",
            "session_id": session_id,
            "seq": row.seq,
            "revision": row.message_revision,
        }
    entry = {
        "kind": "session",
        "session_id": session_id,
        "revision": row.session_revision,
        "last_seq": row.last_seq,
        "head_seq": row.head_seq,
    }
    return entry | {"is_new": True} if row.is_new else entry
