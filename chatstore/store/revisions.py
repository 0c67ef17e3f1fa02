"""Keeps and reads what messages said before they were edited; no HTTP, no commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, insert, literal, select

from chatstore.db import db
from chatstore.models import ChatSession, Message, MessageRevision
from chatstore.schemas.corrections import PlainRevisionSchema
from chatstore.schemas.dumping import members_of
from chatstore.store.batches import fitting
from chatstore.store.json_rows import as_json, columns_by_attribute, stored_bytes
from chatstore.store.messages import MAX_ID, no_such_message
from chatstore.store.sessions import owned

# A page ends before this many bytes, or holds one larger revision.
PAGE_BYTES = 8 * 1024 * 1024
# PostgreSQL's greatest integer.
_MAX_REVISION = 2**31 - 1

_REVISION_JSON = as_json(
    members_of(PlainRevisionSchema()),
    columns_by_attribute(MessageRevision),
    extra=MessageRevision.extra,
)
_BYTES = stored_bytes(
    MessageRevision.content, MessageRevision.metadata_, MessageRevision.extra
)


@dataclass(frozen=True)
class RevisionPage:
    """JSON texts of earlier revisions, newest first; whether older ones follow."""

    revisions: Sequence[str]
    has_more: bool


def list_revisions(
    session_id: UUID,
    message_id: int,
    *,
    owner_id: str,
    limit: int,
    before: int | None = None,
    page_bytes: int = PAGE_BYTES,
) -> RevisionPage:
    """Return up to `limit` earlier revisions of a message, with a smaller number.

    The page holds at most `page_bytes`, or one larger revision. A deleted message has
    none. Raises NotFound.
    """
    _check_message(session_id, message_id, owner_id)
    sizes = (
        select(MessageRevision.revision, _BYTES)
        .where(
            MessageRevision.message_id == message_id,
            MessageRevision.revision < min(before or _MAX_REVISION, _MAX_REVISION),
        )
        .order_by(MessageRevision.revision.desc())
        .limit(limit + 1)
    )
    rows = db.session.execute(sizes).all()
    page = fitting(rows[:limit], lambda row: row[1], page_bytes)
    texts = select(_REVISION_JSON).where(
        MessageRevision.message_id == message_id,
        MessageRevision.revision.in_([row[0] for row in page]),
    )
    ordered = texts.order_by(MessageRevision.revision.desc())
    return RevisionPage(
        db.session.scalars(ordered).all(), has_more=len(rows) > len(page)
    )


def _check_message(session_id: UUID, message_id: int, owner_id: str) -> None:
    query = (
        select(Message.id)
        .join(ChatSession)
        .where(owned(session_id, owner_id), Message.id == message_id)
    )
    if message_id > MAX_ID or db.session.scalar(query) is None:
        raise no_such_message(session_id, message_id)


def keep_revision(message_id: int, revision: int) -> None:
    """Copy what the message says now, its `revision`, to the earlier revisions.

    The database copies the row, so that each number keeps its digits.
    """
    current = select(
        Message.id,
        literal(revision),
        Message.content,
        Message.extra,
        Message.metadata_,
        func.coalesce(Message.edited_at, Message.timestamp),
    ).where(Message.id == message_id)
    names = ["message_id", "revision", "content", "extra", "metadata", "written_at"]
    db.session.execute(insert(MessageRevision.__table__).from_select(names, current))
