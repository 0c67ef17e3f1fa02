"""Deletes what messages said, for good; their places in the log stay; no commit.

A deleted message keeps its seq, role, timestamp and parent, so that paths, cursors and
counts hold. Nothing else of it stays, here or in any other table.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, literal, null, select, update

from chatstore.clock import utc_now
from chatstore.db import UtcDateTime, db
from chatstore.fulltext.index_format import scopes_of
from chatstore.models import Message, MessageFeedback, MessageRevision
from chatstore.store.answers import forget_answers, forget_old_answer
from chatstore.store.deletions import BOUNDS, Bounds, find_end_of_batch
from chatstore.store.json_rows import stored_bytes
from chatstore.store.locks import lock_message, lock_session
from chatstore.store.previews import refresh_session
from chatstore.store.search import entries
from chatstore.store.tokens import (
    INPUT_TOKENS,
    NO_TOKENS,
    OUTPUT_TOKENS,
    Tokens,
    sum_tokens,
)

_MESSAGE_BYTES, _REVISION_BYTES = (
    stored_bytes(model.content, model.metadata_, model.extra)
    for model in (Message, MessageRevision)
)
# The values of a deleted message.
NOTHING = {
    Message.content: "",
    Message.metadata_: null(),
    Message.extra: null(),
    Message.search_text: null(),
    Message.feedback: null(),
    Message.edited_at: null(),
}


def delete_message(session_id: UUID, message_id: int, *, owner_id: str) -> None:
    """Delete what the message says; a deleted one stays as it is; raise NotFound."""
    message = lock_message(session_id, message_id, owner_id=owner_id)
    if message.deleted_at is not None:
        return
    _, lost, lost_bytes = _erase(session_id, owner_id, Message.id == message_id)
    seq = message.seq
    forget_answers(session_id, owner_id=owner_id, first_seq=seq, last_seq=seq)
    forget_old_answer(session_id, message_id, owner_id=owner_id)
    refresh_session(session_id, gained=NO_TOKENS.minus(lost), gained_bytes=-lost_bytes)


def delete_next_messages(
    session_id: UUID,
    *,
    owner_id: str,
    after: int,
    until: int,
    bounds: Bounds = BOUNDS,
) -> tuple[int, int]:
    """Delete what the next messages say, those with `after` < seq <= `until`.

    Returns the last seq of the batch, and how many messages it deleted; the others
    were deleted before. A batch stays within `bounds`, or has one larger message.
    Raises NotFound.
    """
    last_seq = lock_session(session_id, owner_id=owner_id)
    last = find_end_of_batch(session_id, after, bounds)
    last = min(last or last_seq, until)
    batch = and_(
        Message.session_id == session_id, Message.seq > after, Message.seq <= last
    )
    count, lost, lost_bytes = _erase(session_id, owner_id, batch)
    if count:
        forget_answers(
            session_id, owner_id=owner_id, first_seq=after + 1, last_seq=last
        )
        refresh_session(
            session_id, gained=NO_TOKENS.minus(lost), gained_bytes=-lost_bytes
        )
    return last, count


def _erase(
    session_id: UUID, owner_id: str, condition: ColumnElement[bool]
) -> tuple[int, Tokens, int]:
    """Erase these messages of the locked session.

    Returns how many, their tokens, and their bytes with those of earlier revisions.
    """
    # The rows stay locked, so that no feedback comes between.
    query = (
        select(
            Message.id,
            Message.role,
            INPUT_TOKENS.label("input"),
            OUTPUT_TOKENS.label("output"),
            _MESSAGE_BYTES.label("bytes"),
        )
        .where(condition, Message.deleted_at.is_(None))
        .order_by(Message.seq)
        .with_for_update()
    )
    rows = db.session.execute(query).all()
    if not rows:
        return 0, NO_TOKENS, 0
    ids = [row.id for row in rows]
    revisions = select(func.coalesce(func.sum(_REVISION_BYTES), 0)).where(
        MessageRevision.message_id.in_(ids)
    )
    lost_bytes = sum(row.bytes for row in rows) + int(db.session.scalar(revisions) or 0)
    for model in (MessageRevision, MessageFeedback):
        db.session.execute(delete(model).where(model.message_id.in_(ids)))
    state = {
        Message.deleted_at: literal(utc_now(), UtcDateTime()),
        Message.revision: Message.revision + 1,
    }
    db.session.execute(
        update(Message)
        .where(Message.id.in_(ids))
        .values(NOTHING | state)
        .execution_options(synchronize_session=False)
    )
    empty = {
        role: entries.words_of("", scopes_of(owner_id, session_id, role))
        for role in {row.role for row in rows}
    }
    entries.replace_words(ids, [empty[row.role] for row in rows])
    lost = sum_tokens(Tokens(row.input, row.output) for row in rows)
    return len(ids), lost, lost_bytes
