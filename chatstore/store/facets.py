"""Queries over tags, documents, metadata and models of sessions; no HTTP, no commit."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute

from chatstore.db import db, is_sqlite
from chatstore.enums import Facet
from chatstore.models import ChatSession, SessionFacet
from chatstore.settings import MAX_FACET_LENGTH

# The column of a session that has its facets of each kind.
COLUMNS = {
    Facet.TAG: "metadata_tags",
    Facet.DOCUMENT: "rag_document_ids",
    Facet.METADATA: "metadata_",
}


@dataclass(frozen=True)
class FacetCount:
    """A value, and the number of the owner's sessions that have it."""

    value: str
    sessions: int


def facet_values(kind: str, column: Any) -> Iterable[str]:
    """Return the values of the facets that a session has by its column of the kind."""
    if kind == Facet.METADATA:
        return _metadata_pairs(column or {})
    return dict.fromkeys(column or ())


def _metadata_pairs(metadata: Mapping[str, Any]) -> Iterator[str]:
    # A filter splits at the first colon, so a key must not have one.
    for key, value in metadata.items():
        if ":" in key or isinstance(value, dict | list):
            continue
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if len(key) + 1 + len(text) <= MAX_FACET_LENGTH:
            yield f"{key}:{text}"


def add_facets(session_id: UUID, *, owner_id: str, columns: Mapping[str, Any]) -> None:
    """Insert the facets that a new session has by these `columns`."""
    _add({session_id: columns}, owner_id)


def replace_facets(changes: Mapping[UUID, Mapping[str, Any]], *, owner_id: str) -> None:
    """Replace the facets that sessions have by the columns in their `changes`.

    Takes two statements for any number of sessions. All must change the same columns.
    """
    columns = set().union(*changes.values())
    kinds = [kind for kind, column in COLUMNS.items() if column in columns]
    if not kinds:
        return
    db.session.execute(
        delete(SessionFacet).where(
            SessionFacet.session_id.in_(changes), SessionFacet.kind.in_(kinds)
        )
    )
    _add(changes, owner_id)


def add_tags(tags: Mapping[UUID, Collection[str]], *, owner_id: str) -> None:
    """Insert the facets of tags that these sessions have gained."""
    _add({each: {"metadata_tags": gained} for each, gained in tags.items()}, owner_id)


def remove_tags(tags: Mapping[UUID, Collection[str]], *, owner_id: str) -> None:
    """Delete the facets of all these tags from all these sessions.

    So no session may keep a tag that another one loses.
    """
    values = set[str]().union(*tags.values())
    db.session.execute(
        delete(SessionFacet).where(
            SessionFacet.owner_id == owner_id,
            SessionFacet.session_id.in_(tags),
            SessionFacet.kind == Facet.TAG,
            SessionFacet.value.in_(values),
        )
    )


def _add(columns: Mapping[UUID, Mapping[str, Any]], owner_id: str) -> None:
    rows = [
        {"session_id": session_id, "kind": kind, "value": value, "owner_id": owner_id}
        for session_id, given in columns.items()
        for kind, column in COLUMNS.items()
        for value in facet_values(kind, given.get(column))
    ]
    if rows:
        insert: Any = sqlite.insert if is_sqlite() else postgresql.insert
        # A version without facets may have left stray facets, so we ignore conflicts.
        adding = insert(SessionFacet.__table__).on_conflict_do_nothing()
        db.session.execute(adding, rows)


def list_tags(*, owner_id: str, limit: int) -> list[FacetCount]:
    """Return up to `limit` tags: the most common first, equals by name."""
    return _count_values(
        SessionFacet.value,
        [SessionFacet.owner_id == owner_id, SessionFacet.kind == Facet.TAG],
        limit,
    )


def list_models(*, owner_id: str, limit: int) -> list[FacetCount]:
    """Return up to `limit` models: the most common first, equals by name."""
    return _count_values(
        ChatSession.llm_model_name, [ChatSession.owner_id == owner_id], limit
    )


def _count_values(
    column: InstrumentedAttribute[str],
    conditions: list[ColumnElement[bool]],
    limit: int,
) -> list[FacetCount]:
    query = (
        select(column, func.count())
        .where(*conditions)
        .group_by(column)
        .order_by(func.count().desc(), column)
        .limit(limit)
    )
    return [FacetCount(*row) for row in db.session.execute(query)]
