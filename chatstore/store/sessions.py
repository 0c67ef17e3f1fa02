"""Queries over sessions, each within one owner's; no HTTP, no commit."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    delete,
    literal,
    select,
    tuple_,
    update,
)

from chatstore.clock import utc_now
from chatstore.db import UtcDateTime, db, read_connection
from chatstore.errors import NotFound, PreconditionFailed
from chatstore.models import ChatSession
from chatstore.store.paging import Page, SessionKey
from chatstore.store.sent import SESSION, SentRow

Named = BindParameter[Any]


def owned(session_id: UUID | Named, owner_id: str | Named) -> ColumnElement[bool]:
    """The condition every query on one session carries: it is this owner's."""
    return and_(ChatSession.id == session_id, ChatSession.owner_id == owner_id)


def create_session(
    *,
    owner_id: str,
    llm_model_name: str,
    name: str | None = None,
    rag_document_ids: Sequence[str] = (),
    metadata_tags: Sequence[str] = (),
) -> ChatSession:
    """Add an empty session and return it."""
    now = utc_now()
    chat = ChatSession(
        owner_id=owner_id,
        name=name,
        created_at=now,
        last_updated_at=now,
        llm_model_name=llm_model_name,
        rag_document_ids=list(rag_document_ids),
        metadata_tags=list(metadata_tags),
    )
    db.session.add(chat)
    db.session.flush()
    return chat


def get_session(session_id: UUID, *, owner_id: str) -> ChatSession:
    """Return the session; NotFound when the owner has no such one."""
    query = select(ChatSession).where(owned(session_id, owner_id))
    fresh = query.execution_options(populate_existing=True)
    chat: ChatSession | None = db.session.scalar(fresh)
    if chat is None:
        raise no_such_session(session_id)
    return chat


# For statements that are made once, and run with `whose` as their parameters. An
# UPDATE keeps the names of its columns to itself.
OWNED = owned(bindparam("the_session"), bindparam("the_owner"))


def whose(session_id: UUID, owner_id: str) -> dict[str, Any]:
    """Return the parameters of a statement with the condition `OWNED`."""
    return {"the_session": session_id, "the_owner": owner_id}


_ROW = select(*SESSION).where(OWNED)


def get_session_row(session_id: UUID, *, owner_id: str) -> SentRow:
    """Return the session as it is sent, at a fifth of the cost; NotFound."""
    with read_connection() as connection:
        row = connection.execute(_ROW, whose(session_id, owner_id)).one_or_none()
    if row is None:
        raise no_such_session(session_id)
    return row


def list_sessions(
    *, owner_id: str, limit: int, offset: int = 0, after: SessionKey | None = None
) -> Page[ChatSession]:
    """Return up to `limit` sessions, newest activity first, then by id downwards."""
    place = tuple_(ChatSession.last_updated_at, ChatSession.id)
    query = (
        select(ChatSession)
        .where(ChatSession.owner_id == owner_id)
        .order_by(ChatSession.last_updated_at.desc(), ChatSession.id.desc())
        .limit(limit + 1)  # the one more says whether there is a next page
        .offset(offset)
        .execution_options(populate_existing=True)
    )
    if after is not None:
        instant = literal(after.last_updated_at, UtcDateTime())
        query = query.where(place < tuple_(instant, literal(after.id)))
    chats = db.session.scalars(query).all()
    page = chats[:limit]
    if len(chats) == len(page):
        return Page(page, next_key=None)
    return Page(page, SessionKey(page[-1].last_updated_at, page[-1].id))


def update_session(
    session_id: UUID,
    *,
    owner_id: str,
    changes: Mapping[str, Any],
    if_revisions: Collection[int] | None = None,
) -> ChatSession:
    """Set the columns in `changes` and return the session; no change, no revision.

    `last_updated_at` stays. Raises NotFound, or PreconditionFailed when
    `if_revisions` is given and does not hold the present one.
    """
    condition = _at_revision(owned(session_id, owner_id), if_revisions)
    chat: ChatSession | None = db.session.scalar(
        update(ChatSession)
        .where(condition)
        .values(**changes, revision=ChatSession.revision + 1)
        .returning(ChatSession)
        .execution_options(populate_existing=True)
        if changes
        else select(ChatSession).where(condition)
    )
    if chat is None:
        raise _why_missing(session_id, owner_id)
    return chat


def delete_session(
    session_id: UUID, *, owner_id: str, if_revisions: Collection[int] | None = None
) -> None:
    """Delete the session; the database deletes its messages.

    Raises as `update_session` does.
    """
    condition = _at_revision(owned(session_id, owner_id), if_revisions)
    deleted = db.session.scalar(
        delete(ChatSession).where(condition).returning(ChatSession.id)
    )
    if deleted is None:
        raise _why_missing(session_id, owner_id)


def no_such_session(session_id: UUID) -> NotFound:
    """The error for a session that is missing or somebody else's: one and the same."""
    return NotFound(f"There is no session {session_id}.")


def _at_revision(
    condition: ColumnElement[bool], revisions: Collection[int] | None
) -> ColumnElement[bool]:
    if revisions is None:
        return condition
    return and_(condition, ChatSession.revision.in_(revisions))


def _why_missing(session_id: UUID, owner_id: str) -> NotFound | PreconditionFailed:
    exists = db.session.scalar(
        select(ChatSession.revision).where(owned(session_id, owner_id))
    )
    if exists is None:
        return no_such_session(session_id)
    return PreconditionFailed(
        f"Session {session_id} changed: If-Match names another revision of it."
    )
