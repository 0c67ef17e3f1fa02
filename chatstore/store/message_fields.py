"""SQL for the JSON of a message: of all its fields, or of those in `fields`; no HTTP.

Both come from the same members, so a field has the same text in every answer.
"""

from collections.abc import Iterator

from sqlalchemy import Integer, bindparam, func, literal_column
from sqlalchemy.sql.elements import ColumnElement, SQLCoreOperations

from chatstore.interchange.chat_completions import EXTRA_FIELDS
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import PREVIEW_LENGTH
from chatstore.schemas.dumping import Member, members_of
from chatstore.schemas.messages import MessageStateSchema, PlainMessageSchema
from chatstore.store.json_rows import (
    Fields,
    as_json,
    columns_by_attribute,
    disk_bytes,
    object_member,
    stored_bytes,
)

# Reading a byte costs a 64th of what sending one costs.
_READ_SHARE = 64
_PREVIEW = Member("preview", "preview", "text")
# The rows of most statements have the same session, so a parameter replaces the column.
_THE_SESSION = bindparam("the_session", type_=ChatSession.id.type)
_COLUMNS: dict[str, SQLCoreOperations[object]] = {
    **columns_by_attribute(Message),
    "revision": func.nullif(Message.revision, literal_column("1")),
    "preview": func.substr(Message.content, 1, literal_column(str(PREVIEW_LENGTH))),
    **{f"extra.{name}": object_member(Message.extra, name) for name in EXTRA_FIELDS},
}
_ALWAYS = members_of(PlainMessageSchema())
_IF_GIVEN = members_of(MessageStateSchema())
_EXTRA = [Member(name, f"extra.{name}", "json") for name in EXTRA_FIELDS]


def message_json(
    fields: Fields | None = None,
    *,
    session_id: SQLCoreOperations[object] = _THE_SESSION,
) -> ColumnElement[str]:
    """Return SQL for the JSON text of a message with these fields; None means all.

    Without a `session_id` it takes the parameter `the_session`.
    """
    columns = _COLUMNS | {"session_id": session_id}
    if fields is None:
        return as_json(_ALWAYS, columns, optional=_IF_GIVEN, extra=Message.extra)
    return as_json(
        [each for each in (*_ALWAYS, _PREVIEW) if each.name in fields],
        columns,
        optional=[each for each in (*_IF_GIVEN, *_EXTRA) if each.name in fields],
    )


def message_bytes(fields: Fields | None = None) -> ColumnElement[int]:
    """Return SQL for the bytes that bound a chunk of messages with these fields.

    These are the bytes as stored: JSON's escapes turn one byte into at most six. A
    preview counts a small part of the content, which SQLite reads to its end.
    """
    large = (
        [Message.content, Message.metadata_, Message.extra, Message.feedback]
        if fields is None
        else list(_large_columns(fields))
    )
    size: ColumnElement[int] = stored_bytes(*large) if large else literal_column("0")
    if fields is not None and "preview" in fields and "content" not in fields:
        share: ColumnElement[int] = literal_column(str(_READ_SHARE), Integer)
        size = size + disk_bytes(Message.content).op("/")(share)
    return size


def _large_columns(fields: Fields) -> Iterator[SQLCoreOperations[object]]:
    if "content" in fields:
        yield Message.content
    if "metadata" in fields:
        yield Message.metadata_
    if not set(EXTRA_FIELDS).isdisjoint(fields):
        yield Message.extra
    if "feedback" in fields:
        yield Message.feedback


def measures_texts(fields: Fields | None) -> bool:
    """Whether `message_bytes` asks for the size of a text."""
    if fields is None:
        return True
    return "preview" in fields or any(True for _ in _large_columns(fields))
