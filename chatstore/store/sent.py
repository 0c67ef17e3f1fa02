"""Rows as they are sent: what the hot reads select, in place of models; no HTTP.

Making a model of a row, and text of the model, costs a listing more than the reading.
`schemas.compiled` takes both.
"""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Dialect,
    FromClause,
    Label,
    Row,
    Uuid,
    type_coerce,
)
from sqlalchemy.types import NULLTYPE

from chatstore.models import ChatSession, Message

SentRow = Row[Any]


class AppendedMessage(NamedTuple):
    """A message that was appended, with what the database gave it."""

    id: int
    session_id: UUID
    seq: int
    timestamp: datetime
    role: str
    content: str
    metadata_: dict[str, Any] | None


# As many as a page of them holds.
_make_uuid = lru_cache(maxsize=1024)(UUID)


class _SeenUuid(Uuid[UUID]):
    """A UUID of which there are many equal ones, one after the other."""

    cache_ok = True

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], UUID] | None:
        return None if dialect.supports_native_uuid else _make_uuid


def as_sent(table: FromClause) -> list[Label[Any]]:
    """Return the columns of a table, or of rows of it, as the driver gives them.

    On SQLite instants and JSON stay the text that they are there. They bear the names
    of the model's attributes.
    """
    return [_raw(column) for column in table.c]


def as_instant(sent: datetime | str) -> datetime:
    """Return the instant that such a row holds, as a text perhaps."""
    return datetime.fromisoformat(sent) if isinstance(sent, str) else sent


def _raw(column: ColumnElement[Any]) -> Label[Any]:
    name = "metadata_" if column.key == "metadata" else str(column.key)
    kind = _SeenUuid() if isinstance(column.type, Uuid) else NULLTYPE
    return type_coerce(column, kind).label(name)


SESSION = [
    *as_sent(ChatSession.__table__),
    ChatSession.archived_at.is_not(None).label("archived"),
]
MESSAGE = as_sent(Message.__table__)
