"""Checks of edited, deleted and rated messages: one query for each promise."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, exists, func, literal, or_, select
from sqlalchemy import cast as sql_cast

from chatstore.db import db
from chatstore.models import (
    ChatSession,
    IdempotencyRecord,
    Message,
    MessageFeedback,
    MessageRevision,
)
from chatstore.models.sessions import OWNER
from chatstore.store.answers import append_requests, is_old_answer
from chatstore.store.deletions import IS_WHOLE

_IS_DELETED = Message.deleted_at.is_not(None)


def find_wrong_revisions() -> Iterator[str]:
    """Yield a sentence for each message whose revisions are not 1 to its own - 1."""
    kept = (
        select(
            MessageRevision.message_id,
            func.count().label("count"),
            func.max(MessageRevision.revision).label("last"),
        )
        .group_by(MessageRevision.message_id)
        .subquery()
    )
    count, last = func.coalesce(kept.c.count, 0), func.coalesce(kept.c.last, 0)
    query = (
        select(Message.id, Message.revision, count)
        .outerjoin(kept, kept.c.message_id == Message.id)
        .where(
            Message.deleted_at.is_(None),
            or_(count != Message.revision - 1, last != Message.revision - 1),
        )
    )
    for message_id, revision, number in _rows(query):
        yield (
            f"message {message_id} is at revision {revision},"
            f" but {number} earlier revisions are kept"
        )
    lost = (
        select(MessageRevision.message_id)
        .outerjoin(Message, Message.id == MessageRevision.message_id)
        .where(Message.id.is_(None))
        .distinct()
    )
    for (message_id,) in _rows(lost):
        yield f"message {message_id} is missing, but its revisions are kept"


def find_deleted_texts() -> Iterator[str]:
    """Yield a sentence for each trace of what a deleted message said.

    The check of the search index finds what is left there.
    """
    has_revisions = exists().where(MessageRevision.message_id == Message.id)
    query = select(Message.id).where(_IS_DELETED, or_(_has_something(), has_revisions))
    for (message_id,) in _rows(query):
        yield f"message {message_id} was deleted, but some of it is left"
    chats = select(ChatSession.id, OWNER).where(
        IS_WHOLE, exists().where(Message.session_id == ChatSession.id, _IS_DELETED)
    )
    for session_id, owner_id in _rows(chats):
        for key in db.session.scalars(_answers_with_deleted(session_id, owner_id)):
            yield (
                f"session {session_id}: the stored answer with key {key!r} holds a"
                " deleted message"
            )


def _has_something() -> ColumnElement[bool]:
    nullable = (
        Message.metadata_,
        Message.extra,
        Message.search_text,
        Message.feedback,
        Message.edited_at,
    )
    return or_(Message.content != "", *(each.is_not(None) for each in nullable))


def _answers_with_deleted(session_id: UUID, owner_id: str) -> Any:
    record = IdempotencyRecord
    deleted = exists().where(Message.session_id == session_id, _IS_DELETED)
    held = deleted.where(Message.seq.between(record.first_seq, record.last_seq))
    message_id = sql_cast(Message.id, Text)
    text = literal('%"id":') + message_id + f',"session_id":"{session_id}"%'
    return select(record.key).where(
        record.owner_id == owner_id,
        or_(
            and_(
                record.answer != "",
                record.request.in_(append_requests(session_id)),
                held,
            ),
            and_(
                record.answer != "",
                record.session_id == session_id,
                # A restored session may have lost messages before the answer was made.
                record.request.not_like("%/restore"),
                # A fork copies deleted messages too, which its answer never held. Such
                # a copy is at revision 1. A deletion makes a higher one.
                held.where(Message.revision > 1),
            ),
            and_(
                is_old_answer(session_id, owner_id=owner_id),
                deleted.where(record.answer.like(text)),
            ),
        ),
    )


def find_wrong_feedback() -> Iterator[str]:
    """Yield a sentence for each message whose feedback is listed wrongly or not."""
    listed = MessageFeedback.message_id
    query = (
        select(
            Message.id,
            Message.feedback,
            OWNER,
            listed,
            MessageFeedback.owner_id,
            MessageFeedback.rating,
        )
        .join(ChatSession)
        .outerjoin(MessageFeedback, listed == Message.id)
        .where(or_(Message.feedback.is_not(None), listed.is_not(None)))
    )
    for message_id, feedback, owner_id, *found in _rows(query):
        expected = [message_id, owner_id, (feedback or {}).get("rating")]
        if feedback is None or found != expected:
            yield f"message {message_id}: its feedback is listed wrongly or not at all"
    lost = (
        select(listed)
        .outerjoin_from(MessageFeedback, Message, Message.id == listed)
        .where(Message.id.is_(None))
    )
    for (message_id,) in _rows(lost):
        yield f"message {message_id} is missing, but its feedback is listed"


def _rows(query: Any) -> Iterator[tuple[Any, ...]]:
    for row in db.session.execute(query, execution_options={"yield_per": 1000}):
        yield tuple(row)
