"""Which sessions are meant: one grammar for lists, bulk changes and search."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, func, literal, select

from chatstore.analyzer import fold
from chatstore.db import db
from chatstore.enums import Archived, Facet
from chatstore.models import ChatSession, SessionFacet

# Up to so many sessions are looked up one by one and sorted; if more have the tag, a
# page of them is found sooner by walking the list and asking each for it.
FEW = 2000


@dataclass(frozen=True, kw_only=True)
class SessionFilters:
    """What a session must be; each that is given must hold.

    All of `tag`, at least one of `tag_any`. `name` is contained in the session's,
    whatever the case and accents. Instants are exclusive.
    """

    tag: tuple[str, ...] = ()
    tag_any: tuple[str, ...] = ()
    document: str | None = None
    model: str | None = None
    pinned: bool | None = None
    archived: Archived = Archived.NO
    name: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None

    @classmethod
    def among(cls, values: Mapping[str, Any]) -> "SessionFilters":
        """Return the filters that are among `values`, by their names."""
        given = {
            each.name: values[each.name] for each in fields(cls) if each.name in values
        }
        tags = {name: tuple(given.get(name, ())) for name in ("tag", "tag_any")}
        return cls(**given | tags)

    def facets(self) -> list[tuple[Facet, tuple[str, ...]]]:
        """Return what must be among a session's facets: of each pair, one value."""
        wanted: list[tuple[Facet, tuple[str, ...]]] = [
            (Facet.TAG, (tag,)) for tag in self.tag
        ]
        if self.tag_any:
            wanted.append((Facet.TAG, self.tag_any))
        if self.document is not None:
            wanted.append((Facet.DOCUMENT, (self.document,)))
        return wanted


def select_matching(
    query: Select[Any], filters: SessionFilters, *, owner_id: str | BindParameter[str]
) -> Select[Any]:
    """Return `query` over sessions, only for the owner's that the filters let pass.

    Asks the database once how many have the tags and documents, if there are any.
    """
    return query.where(
        ChatSession.owner_id == owner_id,
        *_column_conditions(filters),
        *_facet_conditions(filters.facets(), owner_id),
    )


def select_all_matching(
    query: Select[Any], filters: SessionFilters, *, owner_id: str
) -> Select[Any]:
    """Return as `select_matching` does, for a query that looks at all of them.

    Then there is no first page to be found early, and nothing to ask before.
    """
    wanted = (_having(kind, values, owner_id) for kind, values in filters.facets())
    return query.where(
        ChatSession.owner_id == owner_id,
        *_column_conditions(filters),
        *(ChatSession.id.in_(having) for having in wanted),
    )


def _column_conditions(filters: SessionFilters) -> Iterable[ColumnElement[bool]]:
    if filters.archived is Archived.NO:
        yield ChatSession.archived_at.is_(None)
    elif filters.archived is Archived.YES:
        yield ChatSession.archived_at.is_not(None)
    if filters.pinned is not None:
        yield pinned_is(filters.pinned)
    if filters.model is not None:
        yield ChatSession.llm_model_name == filters.model
    if filters.name:
        yield ChatSession.name_folded.contains(fold(filters.name), autoescape=True)
    if filters.created_after is not None:
        yield ChatSession.created_at > filters.created_after
    if filters.created_before is not None:
        yield ChatSession.created_at < filters.created_before
    if filters.updated_after is not None:
        yield ChatSession.last_updated_at > filters.updated_after
    if filters.updated_before is not None:
        yield ChatSession.last_updated_at < filters.updated_before


def pinned_is(pinned: bool) -> ColumnElement[bool]:
    """The condition in the words of the index of pinned sessions."""
    return ChatSession.pinned == literal(pinned, literal_execute=True)


def _facet_conditions(
    wanted: list[tuple[Facet, tuple[str, ...]]], owner_id: str | BindParameter[str]
) -> Iterable[ColumnElement[bool]]:
    having = [_having(kind, values, owner_id) for kind, values in wanted]
    if not having:
        return
    counts = [
        select(func.count()).select_from(each.limit(FEW + 1).subquery())
        for each in having
    ]
    numbers = db.session.execute(
        select(*(each.scalar_subquery() for each in counts))
    ).one()
    rarest = numbers.index(min(numbers))
    for place, query in enumerate(having):
        if place == rarest and numbers[place] <= FEW:
            yield _one_of(query)
        else:
            yield _has(query)


def _one_of(query: Select[Any]) -> ColumnElement[bool]:
    if db.engine.dialect.name == "postgresql":
        # As an array, or PostgreSQL reads all sessions to join them with these few.
        return ChatSession.id == func.any(func.array(query.scalar_subquery()))
    return ChatSession.id.in_(query)


def _has(query: Select[Any]) -> ColumnElement[bool]:
    mine = query.where(SessionFacet.session_id == ChatSession.id)
    if db.engine.dialect.name == "postgresql":
        mine = mine.offset(0)  # or it is made a join that reads all of the tag's
    return mine.exists()


def _having(
    kind: Facet, values: tuple[str, ...], owner_id: str | BindParameter[str]
) -> Select[Any]:
    return select(SessionFacet.session_id).where(
        SessionFacet.owner_id == owner_id,
        SessionFacet.kind == kind,
        SessionFacet.value.in_(values),
    )
