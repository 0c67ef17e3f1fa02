"""Compares sessions with their facets and folded names, which lists use."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from chatstore.db import db
from chatstore.models import ChatSession, SessionFacet
from chatstore.store.facets import COLUMNS, facet_values
from chatstore.store.sessions import folded_name

# A hundred sessions with the most tags and document ids hold about 100 MiB.
_BATCH = 100

FacetSet = set[tuple[str, str, str | None, str, bool]]


def find_wrong_facets() -> Iterator[str]:
    """Yield a sentence for each session whose facets differ from its own columns."""
    lists = [getattr(ChatSession, column) for column in COLUMNS.values()]
    columns = [ChatSession.owner_id, ChatSession.former_owner_id, ChatSession.number]
    for chats in _read_batches(*columns, *lists):
        found = _stored_facets(chats)
        for chat in chats:
            if found[chat.id] != _expected_facets(chat):
                yield f"session {chat.id}: the index of tags and metadata differs"
    orphans = select(SessionFacet.session_id).where(
        SessionFacet.session_id.not_in(select(ChatSession.id))
    )
    for session_id in db.session.scalars(orphans.distinct()):
        yield f"session {session_id} is missing, but its tags or metadata are indexed"


def find_wrong_names() -> Iterator[str]:
    """Yield a sentence for each session whose folded name is not that of its name."""
    for chats in _read_batches(ChatSession.name, ChatSession.name_folded):
        for chat in chats:
            if chat.name_folded != folded_name(chat.name):
                yield f"session {chat.id} is sorted by the name {chat.name_folded!r}"


def _read_batches(*columns: Any) -> Iterator[Sequence[Row[Any]]]:
    """Yield the ids and these columns of all sessions, in batches."""
    query = select(ChatSession.id, *columns).order_by(ChatSession.id).limit(_BATCH)
    chats = db.session.execute(query).all()
    while chats:
        yield chats
        chats = db.session.execute(query.where(ChatSession.id > chats[-1].id)).all()


def _stored_facets(chats: Sequence[Row[Any]]) -> dict[UUID, FacetSet]:
    numbers = {chat.id: chat.number for chat in chats}
    query = select(SessionFacet).where(SessionFacet.session_id.in_(numbers))
    found: dict[UUID, FacetSet] = defaultdict(set)
    for facet in db.session.scalars(query):
        # A server of an earlier version writes no number.
        is_numbered = facet.number in (None, numbers[facet.session_id])
        found[facet.session_id].add(
            (facet.kind, facet.value, facet.label, facet.owner_id, is_numbered)
        )
    return found


def _expected_facets(chat: Row[Any]) -> FacetSet:
    if chat.former_owner_id is not None:  # lists count facets without their sessions
        return set()
    return {
        (kind, value, label, chat.owner_id, True)
        for kind, column in COLUMNS.items()
        for value, label in facet_values(kind, getattr(chat, column)).items()
    }
