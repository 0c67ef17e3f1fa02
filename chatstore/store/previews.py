"""Finds the preview of a session: the beginning of its last readable text.

An append takes the preview of its own texts. An edit or a deletion looks back for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, case, func, select, update

from chatstore.db import db
from chatstore.enums import Role
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import PREVIEW_LENGTH
from chatstore.store.tokens import NO_TOKENS, Tokens

# The roles whose text a person reads.
READABLE = (Role.USER, Role.ASSISTANT)
# Most texts need no more of their beginning, even with white space in front.
_HEAD = 2 * PREVIEW_LENGTH
# Messages that the first query reads; each further one reads four times as many.
_FIRST_CHUNK = 4


@dataclass(frozen=True)
class LookBack:
    """How far to look back from a session's last message for its preview."""

    messages: int = 1000
    bytes: int = 8 * 1024 * 1024


LOOK_BACK = LookBack()


def preview_of_text(role: str, content: str) -> str | None:
    """Return the preview that a message gives its session; None if it gives none."""
    text = content.strip() if role in READABLE else ""
    return text[:PREVIEW_LENGTH] or None


def find_preview(session_id: UUID, *, look_back: LookBack = LOOK_BACK) -> str | None:
    """Return the beginning of the last readable text, without white space around it.

    Deleted messages have no text. Returns None if there is no such text within the
    bounds of `look_back`.
    """
    remaining = look_back.bytes
    for row in _last_messages(session_id, look_back.messages):
        head = row.head
        is_cut = row.bytes > len(head.encode())
        if is_cut and len(head.lstrip()) < PREVIEW_LENGTH:
            query = select(Message.content).where(Message.id == row.id)
            head = db.session.scalar(query) or ""
        preview = preview_of_text(row.role, head)
        remaining -= row.bytes
        if preview or remaining < 0:
            return preview
    return None


def _last_messages(session_id: UUID, most: int) -> Iterator[Row[*tuple[object, ...]]]:
    """Yield the last messages with some text of readable roles, newest first."""
    query = select(ChatSession.last_seq).where(ChatSession.id == session_id)
    before = (db.session.scalar(query) or 0) + 1
    oldest, size = max(before - most, 1), _FIRST_CHUNK
    while before > oldest:
        first = max(before - size, oldest)
        yield from db.session.execute(
            select(
                Message.id,
                Message.role,
                func.substr(Message.content, 1, _HEAD).label("head"),
                func.octet_length(Message.content).label("bytes"),
            )
            .where(
                Message.session_id == session_id,
                Message.seq.between(first, before - 1),
                Message.role.in_(READABLE),
                Message.content != "",
            )
            .order_by(Message.seq.desc())
        )
        before, size = first, size * 4


def refresh_session(
    session_id: UUID,
    *,
    gained: Tokens = NO_TOKENS,
    gained_bytes: int = 0,
    look_back: LookBack = LOOK_BACK,
) -> None:
    """Let the session follow its messages, and add 1 to its revision.

    The preview is found, and the `gained` tokens and bytes, which may be negative, are
    added.
    """
    preview = find_preview(session_id, look_back=look_back)
    db.session.execute(
        update(ChatSession)
        .where(ChatSession.id == session_id)
        .values(
            last_message_preview=preview,
            input_tokens=ChatSession.input_tokens + gained.input,
            output_tokens=ChatSession.output_tokens + gained.output,
            content_bytes=_not_negative(ChatSession.content_bytes, gained_bytes),
            revision=ChatSession.revision + 1,
        )
        .execution_options(synchronize_session=False)
    )


def _not_negative(stored: Any, gained: int) -> Any:
    # A message that was never counted may be deleted.
    if gained >= 0:
        return stored + gained
    return case((stored > -gained, stored + gained), else_=0)
