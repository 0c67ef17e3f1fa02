"""Stores feedback about messages and lists it; no HTTP, no commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.db import db, is_sqlite
from chatstore.enums import Archived
from chatstore.models import ChatSession, Message, MessageFeedback
from chatstore.store.batches import fitting
from chatstore.store.edits import message_deleted
from chatstore.store.filters import SessionFilters, select_matching
from chatstore.store.locks import lock_message
from chatstore.store.message_fields import message_json
from chatstore.store.messages import (
    MAX_ID,
    MESSAGE_BYTES,
    MessageJson,
    get_message_json,
)
from chatstore.store.sessions import get_session_json

_MESSAGE_JSON = message_json(session_id=Message.session_id)


def set_feedback(
    session_id: UUID,
    message_id: int,
    *,
    owner_id: str,
    feedback: Mapping[str, Any],
) -> MessageJson:
    """Replace the feedback about a message and return the message.

    `feedback` has those of `rating`, `comment` and `labels` that were given; empty
    feedback is removed. The message's revision stays. Raises NotFound and
    MessageDeleted.
    """
    message = lock_message(session_id, message_id, owner_id=owner_id)
    if message.deleted_at is not None:
        raise message_deleted(message_id)
    db.session.execute(
        update(Message)
        .where(Message.id == message_id)
        .values({Message.feedback: dict(feedback) or None})
        .execution_options(synchronize_session=False)
    )
    if feedback:
        _put_row(message_id, owner_id, feedback.get("rating"))
    else:
        rows = delete(MessageFeedback).where(MessageFeedback.message_id == message_id)
        db.session.execute(rows)
    return get_message_json(session_id, message_id, owner_id=owner_id)


def _put_row(message_id: int, owner_id: str, rating: int | None) -> None:
    insert: Callable[..., Any] = sqlite.insert if is_sqlite() else postgresql.insert
    row = {"message_id": message_id, "owner_id": owner_id, "rating": rating}
    db.session.execute(
        insert(MessageFeedback.__table__)
        .values(row)
        .on_conflict_do_update(index_elements=["message_id"], set_={"rating": rating})
    )


@dataclass(frozen=True)
class FeedbackListing:
    """Which messages with feedback to list; None means no condition.

    `model` is the message's, or its session's if the message has none. A message is
    not older than `since` and older than `until`. With `session_id` the filters apply
    to that session.
    """

    filters: SessionFilters = SessionFilters()
    rating: int | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    session_id: UUID | None = None


@dataclass(frozen=True)
class FeedbackBounds:
    """How many rated messages a page looks at, and how many bytes it holds."""

    looked_at: int = 10_000
    page_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True)
class FeedbackPage:
    """JSON texts of messages; the next page has smaller ids than `next_before`."""

    messages: Sequence[str]
    next_before: int | None


_DEFAULT_BOUNDS = FeedbackBounds()


def list_feedback(
    listing: FeedbackListing,
    *,
    owner_id: str,
    limit: int,
    before: int | None = None,
    bounds: FeedbackBounds = _DEFAULT_BOUNDS,
) -> FeedbackPage:
    """Return up to `limit` messages with feedback, the greatest ids first.

    Ids are smaller than `before`. A page holds `bounds.page_bytes` at most, or one
    larger message. It may be shorter than `limit`, even empty, without being the last.
    Raises NotFound if the owner has no session `session_id`.
    """
    if listing.session_id is not None:
        get_session_json(listing.session_id, owner_id=owner_id)
    rated = (
        select(MessageFeedback.message_id)
        .where(
            MessageFeedback.owner_id == owner_id,
            MessageFeedback.message_id < (MAX_ID if before is None else before),
        )
        .order_by(MessageFeedback.message_id.desc())
        .limit(bounds.looked_at)
        .subquery()
    )
    window = select(func.count(), func.min(rated.c.message_id))
    looked_at, oldest = db.session.execute(window).one()
    if not looked_at:
        return FeedbackPage([], None)
    columns: tuple[Any, ...] = (Message.id, MESSAGE_BYTES)
    query = (
        select(*columns)
        .join_from(MessageFeedback, Message)
        .join(ChatSession)
        .where(
            MessageFeedback.owner_id == owner_id,
            MessageFeedback.message_id >= oldest,
            MessageFeedback.message_id < (MAX_ID if before is None else before),
        )
        .order_by(MessageFeedback.message_id.desc())
    )
    matching = _matching(query, listing, owner_id).limit(limit + 1)
    rows: Sequence[Any] = db.session.execute(matching).all()
    page = fitting(rows[:limit], lambda row: row[1], bounds.page_bytes)
    texts = select(_MESSAGE_JSON).where(Message.id.in_([row[0] for row in page]))
    ordered = db.session.scalars(texts.order_by(Message.id.desc())).all()
    if len(rows) > len(page):
        return FeedbackPage(ordered, page[-1][0])
    return FeedbackPage(ordered, oldest if looked_at == bounds.looked_at else None)


def _matching(
    query: Select[Any], listing: FeedbackListing, owner_id: str
) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = []
    if listing.rating is not None:
        conditions.append(MessageFeedback.rating == listing.rating)
    if listing.model is not None:
        model = func.coalesce(_model_of_message(), ChatSession.llm_model_name)
        conditions.append(model == listing.model)
    if listing.since is not None:
        conditions.append(Message.timestamp >= listing.since)
    if listing.until is not None:
        conditions.append(Message.timestamp < listing.until)
    if listing.session_id is not None:
        conditions.append(Message.session_id == listing.session_id)
    return select_matching(
        query.where(*conditions),
        listing.filters,
        owner_id=owner_id,
        rare_facet=None,
    )


def _model_of_message() -> ColumnElement[str]:
    model: ColumnElement[str] = Message.extra["model"].as_string()
    return model


def listing_of(query: Mapping[str, Any]) -> FeedbackListing:
    """Return the listing that a query with these entries asks for."""
    own = ("rating", "model", "since", "until", "session_id")
    filters = replace(SessionFilters.among(query), model=None)
    if "session_id" in query and "archived" not in query:
        # A named session is listed even if it is archived.
        filters = replace(filters, archived=Archived.ANY)
    return FeedbackListing(filters, **{name: query.get(name) for name in own})
