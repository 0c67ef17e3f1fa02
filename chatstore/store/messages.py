"""Queries over messages: where seq and timestamp are assigned; no HTTP, no commit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, update

from chatstore.clock import utc_now
from chatstore.db import db, next_instant
from chatstore.enums import Order, Role
from chatstore.errors import NotFound
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import PREVIEW_LENGTH
from chatstore.store.sessions import no_such_session, owned

# A chunk ends at the first of these, so that a listing never needs more memory
# than a chunk and the few rows read ahead, whatever the size of its messages.
CHUNK_MESSAGES = 500
CHUNK_CHARACTERS = 512 * 1024
_ROWS_READ_AHEAD = 20


@dataclass(frozen=True)
class MessageRange:
    """Which messages of a session to list, and which way.

    Those with `after` < seq < `before`, at most `limit`, None being no bound.
    """

    after: int = 0
    before: int | None = None
    order: Order = Order.ASC
    role: Role | None = None
    limit: int | None = None

    def following(self, seqs: Sequence[int], *, before: int) -> "MessageRange":
        """Return what is left of this range after a chunk with these `seqs`."""
        limit = self.limit - len(seqs) if self.limit is not None else None
        if self.order is Order.ASC:
            return replace(self, after=seqs[-1], before=before, limit=limit)
        return replace(self, before=seqs[-1], limit=limit)


@dataclass(frozen=True)
class MessageChunk:
    """Part of a listing, in its order; `rest` is None when the listing ends here.

    `has_more` says whether messages follow beyond the listing's own limit.
    """

    messages: Sequence[Message]
    rest: MessageRange | None
    has_more: bool


def append_message(
    session_id: UUID,
    *,
    owner_id: str,
    content: str,
    role: Role = Role.USER,
    metadata: dict[str, Any] | None = None,
) -> Message:
    """Add a message at the end of the session and return it.

    Takes the next seq, and a timestamp after the last one whatever the clock says,
    by updating the session's row, which keeps every other writer of this session
    waiting until the commit. Reads no earlier message. Raises NotFound.
    """
    end = db.session.execute(
        update(ChatSession)
        .where(owned(session_id, owner_id))
        .values(
            last_seq=ChatSession.last_seq + 1,
            message_count=ChatSession.message_count + 1,
            last_updated_at=next_instant(ChatSession.last_updated_at, utc_now()),
            last_message_preview=content[:PREVIEW_LENGTH],
            revision=ChatSession.revision + 1,
        )
        .returning(ChatSession.last_seq, ChatSession.last_updated_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if end is None:
        raise no_such_session(session_id)
    message = Message(
        session_id=session_id,
        seq=end.last_seq,
        timestamp=end.last_updated_at,
        role=role,
        content=content,
        metadata_=metadata,
    )
    db.session.add(message)
    db.session.flush()
    return message


def get_message(session_id: UUID, message_id: int, *, owner_id: str) -> Message:
    """Return one message of the session; NotFound when it is not in there."""
    message: Message | None = db.session.scalar(
        select(Message)
        .join(ChatSession)
        .where(owned(session_id, owner_id), Message.id == message_id)
    )
    if message is None:
        raise NotFound(f"There is no message {message_id} in session {session_id}.")
    return message


def get_last_seq(session_id: UUID, *, owner_id: str) -> int:
    """Return the seq of the session's last message, 0 without one; NotFound."""
    last_seq = db.session.scalar(
        select(ChatSession.last_seq).where(owned(session_id, owner_id))
    )
    if last_seq is None:
        raise no_such_session(session_id)
    return last_seq


def list_messages(
    session_id: UUID, *, owner_id: str, wanted: MessageRange
) -> MessageChunk:
    """Return the first chunk of the `wanted` messages; ask for its `rest` next.

    Nothing appended after the first chunk was read is in the later ones. Raises
    NotFound.
    """
    end = get_last_seq(session_id, owner_id=owner_id) + 1
    if wanted.before is not None:
        end = min(wanted.before, end)
    size = min(CHUNK_MESSAGES, wanted.limit or CHUNK_MESSAGES)
    rows = db.session.scalars(
        _select_range(session_id, wanted, before=end).limit(size + 1),
        execution_options={"yield_per": _ROWS_READ_AHEAD},
    )
    messages: list[Message] = []
    characters = 0
    with rows:
        for message in rows:
            if len(messages) == wanted.limit:
                return MessageChunk(messages, rest=None, has_more=True)
            if len(messages) == size or characters > CHUNK_CHARACTERS:
                seqs = [each.seq for each in messages]
                rest = wanted.following(seqs, before=end)
                return MessageChunk(messages, rest=rest, has_more=False)
            messages.append(message)
            characters += len(message.content)
    return MessageChunk(messages, rest=None, has_more=False)


def _select_range(
    session_id: UUID, wanted: MessageRange, *, before: int
) -> Select[Message]:
    query = select(Message).where(
        Message.session_id == session_id,
        Message.seq > wanted.after,
        Message.seq < before,
    )
    if wanted.role is not None:
        query = query.where(Message.role == wanted.role)
    is_ascending = wanted.order is Order.ASC
    return query.order_by(Message.seq if is_ascending else Message.seq.desc())
