"""Reads everything that an owner has, in bounded pages; no HTTP, no commit.

Rows come as dictionaries of their columns, without secrets, and without what is derived
from other rows.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    ColumnElement,
    Row,
    String,
    Uuid,
    func,
    literal,
    select,
    tuple_,
)

from chatstore.db import UtcDateTime, db
from chatstore.models import (
    ApiKey,
    ChatSession,
    LoginSession,
    Message,
    MessageRevision,
    Share,
    UsageCount,
)
from chatstore.store.batches import fitting
from chatstore.store.deletions import BOUNDS, find_end_of_batch
from chatstore.store.json_rows import stored_bytes

_PAGE = 500
# Rows of these tables are small, and are read by their keys.
SMALL_TABLES: dict[str, Any] = {
    "key": ApiKey,
    "login": LoginSession,
    "share": Share,
    "usage": UsageCount,
}
_LEFT_OUT = {"sha256", "number", "change_id", "name_folded", "search_text"}
_LEFT_OUT_OF_SESSIONS = {"owner_id", "former_owner_id", "latest_parent_seq"}


def _columns(model: Any, left_out: Iterable[str] = ()) -> list[Any]:
    return [
        column
        for column in model.__table__.columns
        if column.name not in {*_LEFT_OUT, *left_out}
    ]


_SESSION = _columns(ChatSession, _LEFT_OUT_OF_SESSIONS)
_MESSAGE = _columns(Message)
_REVISION = _columns(MessageRevision)
_REVISION_KEY = (MessageRevision.message_id, MessageRevision.revision)


def list_sessions(
    condition: ColumnElement[bool], *, after: tuple[datetime, UUID] | None
) -> list[dict[str, Any]]:
    """Return the next sessions, the oldest first.

    The condition is one of `owners.sessions_of`, and `after` the time of creation and
    the id of the last session of the page before.
    """
    key = (ChatSession.created_at, ChatSession.id)
    sizes = select(ChatSession.id, _size_of(_SESSION)).where(condition)
    if after is not None:
        last = (literal(after[0], UtcDateTime()), literal(after[1], Uuid()))
        sizes = sizes.where(tuple_(*key) > tuple_(*last))
    rows = db.session.execute(sizes.order_by(*key).limit(_PAGE))
    some = [row[0] for row in fitting(rows, lambda row: row[1], BOUNDS.max_bytes)]
    query = select(*_SESSION).where(ChatSession.id.in_(some), condition)
    return _dicts(db.session.execute(query.order_by(*key)).all())


def list_messages(
    session_id: UUID, *, after: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Return the next messages by seq, and the last seq; None if no more follow."""
    last = find_end_of_batch(session_id, after, BOUNDS)
    query = select(*_MESSAGE).where(
        Message.session_id == session_id, Message.seq > after
    )
    if last is not None:
        query = query.where(Message.seq <= last)
    query = query.order_by(Message.seq).limit(BOUNDS.max_messages)
    return _dicts(db.session.execute(query).all()), last


def list_revisions(
    message_ids: Sequence[int], *, after: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return the next earlier revisions of the messages, by id and revision."""
    sizes = (
        select(*_REVISION_KEY, _size_of(_REVISION))
        .where(
            MessageRevision.message_id.in_(message_ids), tuple_(*_REVISION_KEY) > after
        )
        .order_by(*_REVISION_KEY)
        .limit(_PAGE)
    )
    rows = db.session.execute(sizes)
    keys = [
        tuple(row)[:2] for row in fitting(rows, lambda row: row[2], BOUNDS.max_bytes)
    ]
    query = select(*_REVISION).where(tuple_(*_REVISION_KEY).in_(keys))
    return _dicts(db.session.execute(query.order_by(*_REVISION_KEY)).all())


def list_small(
    kind: str, owner_id: str, *, after: tuple[Any, ...] | None
) -> list[dict[str, Any]]:
    """Return the next rows of one of `SMALL_TABLES`, by their keys."""
    model = SMALL_TABLES[kind]
    key = list(model.__table__.primary_key.columns)
    query = select(*_columns(model)).where(model.owner_id == owner_id)
    if after is not None:
        query = query.where(tuple_(*key) > after)
    return _dicts(db.session.execute(query.order_by(*key).limit(_PAGE)).all())


def small_key(kind: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the key of a row for `list_small`."""
    key = SMALL_TABLES[kind].__table__.primary_key.columns
    return tuple(row[column.name] for column in key)


def _size_of(columns: Sequence[Any]) -> Any:
    texts = [each for each in columns if isinstance(each.type, String | JSON)]
    return func.coalesce(stored_bytes(*texts), 0)


def _dicts(rows: Iterable[Row[Any]]) -> list[dict[str, Any]]:
    # The names are of a class of SQLAlchemy that orjson refuses.
    return [{str(name): value for name, value in row._mapping.items()} for row in rows]
