"""Puts sessions into the trash and takes them out again, whole; no HTTP, no commit.

A session in the trash keeps its row, its messages and its search entries. `TRASH_OWNER`
owns it, so no query of an owner finds it. Only its facets are deleted, because lists
count them; they are rebuilt from the row.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Update, and_, delete, select, update

from chatstore.clock import utc_now
from chatstore.db import db
from chatstore.errors import ExternalIdTaken
from chatstore.models import ChatSession, SessionFacet
from chatstore.models.sessions import TRASH_OWNER
from chatstore.store.facets import COLUMNS, add_facets, facet_values, replace_facets
from chatstore.store.sessions import (
    at_revision,
    explain_no_match,
    find_external,
    find_external_ids,
    is_in_trash,
    no_such_session,
    owned,
)

_FACET_COLUMNS = [getattr(ChatSession, name) for name in COLUMNS.values()]


def trash_session(
    session_id: UUID, *, owner_id: str, if_revisions: Collection[int] | None = None
) -> None:
    """Put the session into its owner's trash.

    Raises NotFound, and PreconditionFailed when `if_revisions` is given and lacks the
    session's revision.
    """
    place = owned(session_id, owner_id)
    if not trash_sessions(at_revision(place, if_revisions)):
        raise explain_no_match(session_id, place)


def trash_sessions(condition: ColumnElement[bool]) -> list[UUID]:
    """Put sessions into their owners' trash; return their ids."""
    trashing = (
        update(ChatSession)
        .where(condition)
        .values(
            owner_id=TRASH_OWNER,
            former_owner_id=ChatSession.owner_id,
            trashed_at=utc_now(),
            revision=ChatSession.revision + 1,
        )
        .returning(ChatSession.id)
        .execution_options(synchronize_session=False)
    )
    ids = list(db.session.scalars(trashing))
    if ids:
        facets = delete(SessionFacet).where(SessionFacet.session_id.in_(ids))
        db.session.execute(facets)
    return ids


def restore_session(session_id: UUID, *, owner_id: str) -> ChatSession:
    """Take the session out of the owner's trash and return it.

    Raises NotFound, and ExternalIdTaken if another session got its external id
    meanwhile.
    """
    in_trash = and_(ChatSession.id == session_id, is_in_trash(owner_id))
    chat: ChatSession | None = db.session.scalar(
        select(ChatSession)
        .where(in_trash)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if chat is None:
        raise no_such_session(session_id)
    if chat.external_id is not None:
        taken_by = find_external(chat.external_id, owner_id)
        if taken_by is not None:
            raise ExternalIdTaken(taken_by, restoring=session_id)
    revealing = _revealing([session_id]).returning(ChatSession)
    chat = db.session.scalars(revealing.execution_options(populate_existing=True)).one()
    columns = {name: getattr(chat, name) for name in COLUMNS.values()}
    add_facets(session_id, owner_id=owner_id, columns=columns)
    return chat


def restore_sessions(
    chats: Iterable[Sequence[Row[Any]]],
    *,
    owner_id: str,
    check_facets: Callable[[int], None],
    is_dry_run: bool = False,
) -> None:
    """Take locked sessions out of the owner's trash, some at a time.

    `check_facets` gets the number of their facets so far. Raises ExternalIdTaken. A dry
    run only looks for reasons to raise.
    """
    taken: dict[str, UUID] = {}
    facets = 0
    for some in chats:
        ids = [chat.id for chat in some]
        columns = _read_columns(ids)
        facets += sum(map(_count_facets, columns.values()))
        check_facets(facets)
        _refuse_taken_external_ids(ids, owner_id, taken)
        if not is_dry_run:
            db.session.execute(_revealing(ids))
            replace_facets(columns, owner_id=owner_id)


def _read_columns(ids: Sequence[UUID]) -> dict[UUID, Mapping[str, Any]]:
    query = select(ChatSession.id, *_FACET_COLUMNS).where(ChatSession.id.in_(ids))
    names = list(COLUMNS.values())
    return {
        row[0]: dict(zip(names, row[1:], strict=True))
        for row in db.session.execute(query)
    }


def _count_facets(columns: Mapping[str, Any]) -> int:
    return sum(
        len(list(facet_values(kind, columns[name]))) for kind, name in COLUMNS.items()
    )


def _refuse_taken_external_ids(
    ids: Sequence[UUID], owner_id: str, taken: dict[str, UUID]
) -> None:
    # `taken` has the external ids of the sessions that were restored before these.
    query = select(ChatSession.external_id, ChatSession.id).where(
        ChatSession.id.in_(ids), ChatSession.external_id.is_not(None)
    )
    rows = db.session.execute(query.order_by(ChatSession.id))
    wanted = [(str(row[0]), row[1]) for row in rows]
    taken |= find_external_ids([each for each, _ in wanted], owner_id)
    for external_id, session_id in wanted:
        taken_by = taken.setdefault(external_id, session_id)
        if taken_by != session_id:
            raise ExternalIdTaken(taken_by, restoring=session_id)


def _revealing(ids: Sequence[UUID]) -> Update:
    return (
        update(ChatSession)
        .where(ChatSession.id.in_(ids), ChatSession.trashed_at.is_not(None))
        .values(
            owner_id=ChatSession.former_owner_id,
            former_owner_id=None,
            trashed_at=None,
            revision=ChatSession.revision + 1,
        )
        .execution_options(synchronize_session=False)
    )
