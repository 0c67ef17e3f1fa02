"""Queries over tags, documents, metadata and models of sessions; no HTTP, no commit."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    Integer,
    Subquery,
    Text,
    bindparam,
    delete,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.db import db, is_sqlite, read_connection
from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import Facet
from chatstore.fulltext.folding import fold_case
from chatstore.models import ChatSession, SessionFacet
from chatstore.settings import MAX_FACET_LENGTH
from chatstore.store.paging import Page
from chatstore.store.validators import LAST_CHANGES_OF_LISTS, parse_validator

# The characters of a long folded tag that its value has before the digest.
COMPARED_LENGTH = MAX_FACET_LENGTH - 64
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


def tag_value(tag: str) -> str:
    """Return the text that equal tags have in common, whatever their spelling.

    Folding can make a tag 18 times as long. An entry of an index has a bound, so the
    end of a long text is replaced by a digest of all of it.
    """
    folded = fold_case(tag)
    if len(folded) <= MAX_FACET_LENGTH:
        return folded
    digest = hashlib.sha256(folded.encode()).hexdigest()
    return folded[:COMPARED_LENGTH] + digest


def distinct_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags in order, of equal ones only the first."""
    first: dict[str, str] = {}
    for tag in tags:
        first.setdefault(tag_value(tag), tag)
    return list(first.values())


def facet_values(kind: str, column: Any) -> dict[str, str | None]:
    """Return the labels of a session's facets by value, from its column of the kind.

    A tag's label is the session's spelling, or None if that is the value. Other facets
    have the label None.
    """
    if kind == Facet.METADATA:
        return dict.fromkeys(_metadata_pairs(column or {}))
    if kind == Facet.TAG:
        return {
            value: None if tag == value else tag
            for tag in distinct_tags(column or ())
            for value in [tag_value(tag)]
        }
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


def add_tag(tag: str, session_ids: Collection[UUID], *, owner_id: str) -> None:
    """Insert the facet of one tag that all these sessions have gained."""
    value = tag_value(tag)
    rows = select(
        ChatSession.id,
        literal(Facet.TAG.value, Text),
        literal(value, Text),
        literal(owner_id, Text),
        literal(None if tag == value else tag, Text),
        ChatSession.number,
    ).where(ChatSession.id.in_(session_ids))
    insert: Any = sqlite.insert if is_sqlite() else postgresql.insert
    columns = ["session_id", "kind", "value", "owner_id", "label", "number"]
    adding = insert(SessionFacet.__table__).from_select(columns, rows)
    db.session.execute(adding.on_conflict_do_nothing())


def remove_tags(tags: Mapping[UUID, Collection[str]], *, owner_id: str) -> None:
    """Delete the facets of all these tags from all these sessions.

    So no session may keep a tag that another one loses.
    """
    values = {tag_value(tag) for lost in tags.values() for tag in lost}
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
        {
            "of_session": session_id,
            "of_kind": kind,
            "of_value": value,
            "of_label": label,
            "of_owner": owner_id,
            "numbered": session_id if kind == Facet.TAG else None,
        }
        for session_id, given in columns.items()
        for kind, column in COLUMNS.items()
        for value, label in facet_values(kind, given.get(column)).items()
    ]
    if rows:
        insert: Any = sqlite.insert if is_sqlite() else postgresql.insert
        adding = insert(SessionFacet.__table__).values(_VALUES)
        # A version without facets may have left stray facets, so we ignore conflicts.
        db.session.execute(adding.on_conflict_do_nothing(), rows)


_VALUES: dict[str, Any] = {
    "session_id": bindparam("of_session", type_=SessionFacet.session_id.type),
    "kind": bindparam("of_kind", type_=SessionFacet.kind.type),
    "value": bindparam("of_value", type_=Text),
    "label": bindparam("of_label", type_=Text),
    "owner_id": bindparam("of_owner", type_=Text),
    "number": select(ChatSession.number)
    .where(ChatSession.id == bindparam("numbered", type_=ChatSession.id.type))
    .scalar_subquery(),
}


def list_models(*, owner_id: str, limit: int) -> Page[FacetCount]:
    """Return up to `limit` models: the most common first, equals by name."""
    return read_counts(_count_models, {"the_owner": owner_id, "limit": limit})


def prepare_counts(counts: Subquery) -> Prepared:
    """Return the statement for rows (label, value, sessions): the most common first.

    The same statement reads the validator of lists.
    """
    # An empty list has a validator too, so the rows are joined to it.
    changes = select(LAST_CHANGES_OF_LISTS.label("last")).subquery()
    return Prepared(
        select(changes.c.last, counts.c.label, counts.c.sessions)
        .select_from(changes.outerjoin(counts, true()))
        .order_by(counts.c.sessions.desc(), counts.c.value)
    )


def read_counts(counts: Prepared, parameters: dict[str, Any]) -> Page[FacetCount]:
    """Return the rows of a statement of `prepare_counts`, and their validator."""
    with read_connection() as connection:
        rows = counts.rows(connection, parameters)
    found = [FacetCount(*row[1:]) for row in rows if row[1] is not None]
    return Page(found, None, validator=parse_validator(rows[0][0]))


def _select_models() -> Subquery:
    model, count = ChatSession.llm_model_name, func.count()
    owner_id = bindparam("the_owner", type_=ChatSession.owner_id.type)
    models = (
        select(model.label("label"), model.label("value"), count.label("sessions"))
        .where(ChatSession.owner_id == owner_id)
        .group_by(model)
        .order_by(count.desc(), model)
    )
    return bounded(models, bindparam("limit", type_=Integer)).subquery()


_count_models = prepare_counts(_select_models())
