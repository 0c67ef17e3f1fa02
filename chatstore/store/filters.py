"""Session filters as SQL conditions, for lists, bulk changes and search."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.orm import InstrumentedAttribute

from chatstore.db import cached_per_database, is_sqlite
from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import Archived, Facet
from chatstore.fulltext.folding import fold
from chatstore.models import ChatSession, SessionFacet
from chatstore.store.facets import COLUMNS, tag_value
from chatstore.store.json_rows import in_id_list

Named = BindParameter[Any]

# Up to this many sessions with a facet are looked up one by one and sorted. With more,
# the database finds a page sooner by walking the list and testing each session.
FEW = 2000


@dataclass(frozen=True, kw_only=True)
class SessionFilters:
    """Conditions on a session; it must meet all that are given.

    It has one of the ids `id`, every `tag`, at least one `tag_any` and every
    `key:value` of `metadata`. Its name contains `name`, ignoring case and accents.
    Instants are exclusive bounds.
    """

    id: tuple[UUID, ...] | None = None
    tag: tuple[str, ...] = ()
    tag_any: tuple[str, ...] = ()
    document: str | None = None
    metadata: tuple[str, ...] | None = None
    external_id: str | None = None
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
        """Return filters of the entries of `values` that have a filter's name."""
        given = {
            each.name: values[each.name] for each in fields(cls) if each.name in values
        }
        lists = {name: tuple(given[name]) for name in _LISTS if name in given}
        if "id" in given:
            # Equal sets of ids are the same filter, so a cursor fits them.
            lists["id"] = tuple(sorted(set(given["id"])))
        return cls(**given | lists)

    def facets(self) -> list[tuple[Facet, tuple[str, ...]]]:
        """Return (kind, values) pairs; a session must have one value of each pair."""
        wanted: list[tuple[Facet, tuple[str, ...]]] = [
            (Facet.TAG, (tag_value(tag),)) for tag in self.tag
        ]
        if self.tag_any:
            wanted.append((Facet.TAG, tuple(map(tag_value, self.tag_any))))
        if self.document is not None:
            wanted.append((Facet.DOCUMENT, (self.document,)))
        wanted += [(Facet.METADATA, (pair,)) for pair in self.metadata or ()]
        return wanted

    def shape(self) -> "SessionFilters":
        """Return these filters with placeholders for values.

        Filters of the same shape share one prepared statement, which takes
        `parameters`.
        """
        names = (*_TEXTS, *_INSTANTS)
        others: dict[str, Any] = {
            name: "" if name in _TEXTS else _NEVER
            for name in names
            if getattr(self, name) is not None
        }
        for name in _LISTS:
            others[name] = ("",) * len(getattr(self, name) or ())
        if self.id is not None:
            others["id"] = ()
        return replace(self, **others)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a statement that is prepared for the shape."""
        values = {f"filter_{name}": getattr(self, name) for name in _INSTANTS}
        values |= {"filter_model": self.model, "filter_name": _escaped(self.name)}
        values["filter_external_id"] = self.external_id
        values["filter_ids"] = ",".join(each.hex for each in self.id or ())
        for place, (_, facets) in enumerate(self.facets()):
            for number, value in enumerate(facets):
                values[f"filter_facet_{place}_{number}"] = value
        return values


_LISTS = ("tag", "tag_any", "metadata")
_TEXTS = ("document", "external_id", "model", "name")
_INSTANTS = ("created_after", "created_before", "updated_after", "updated_before")
_NEVER = datetime.max.replace(tzinfo=UTC)
_ESCAPE = "/"


def find_rare_facet(
    connection: Connection,
    filters: SessionFilters,
    *,
    owner_id: str,
    few: int = FEW,
) -> int | None:
    """Return the index in `filters.facets()` of the facet that fewest sessions have.

    None if more than `few` sessions have it, or without facets. Takes one query if
    there are any facets.
    """
    wanted = filters.facets()
    # The database starts from the ids, if there are any.
    if not wanted or filters.id is not None:
        return None
    parameters = {"the_owner": owner_id, **filters.parameters()}
    counts = _prepare_counts(_only_facets(filters).shape(), few + 1)
    (numbers,) = counts.rows(connection, parameters)
    fewest = min(numbers)
    return numbers.index(fewest) if fewest <= few else None


def _only_facets(filters: SessionFilters) -> SessionFilters:
    return SessionFilters(
        tag=filters.tag,
        tag_any=filters.tag_any,
        document=filters.document,
        metadata=filters.metadata,
    )


@cached_per_database(maxsize=64)  # building it costs more than running it
def _prepare_counts(shape: SessionFilters, max_count: int) -> Prepared:
    limit: ColumnElement[int] = literal_column(str(max_count))
    counts = [
        select(func.count()).select_from(bounded(each, limit).subquery())
        for each in _having_each(shape, bindparam("the_owner"))
    ]
    return Prepared(select(*(each.scalar_subquery() for each in counts)))


def select_matching(
    query: Select[Any],
    filters: SessionFilters,
    *,
    owner_id: str | Named,
    rare_facet: int | None,
) -> Select[Any]:
    """Return `query` restricted to the owner's sessions that match the filters.

    The database starts from the sessions with the ids or with the rare facet, if there
    are any.
    """
    starts_from_few = rare_facet is not None or filters.id is not None
    return query.where(
        _owner_column(starts_from_few=starts_from_few) == owner_id,
        *_column_conditions(filters),
        *(
            _one_of(_having(kind, values, owner_id))
            if place == rare_facet
            else _shows_one_of(kind, values)
            for place, (kind, values) in enumerate(_named_facets(filters))
        ),
    )


def _owner_column(*, starts_from_few: bool) -> ColumnElement[str]:
    owner: ColumnElement[str] = ChatSession.owner_id.expression
    if starts_from_few and is_sqlite():
        # Without the plus, SQLite uses an index on the owner and walks through all of
        # the owner's sessions to find the few.
        owner = literal_column("+sessions.owner_id", owner.type)
    return owner


def select_all_matching(
    query: Select[Any], filters: SessionFilters, *, owner_id: str | Named
) -> Select[Any]:
    """Return what `select_matching` does, for a `query` that reads all matches.

    Such a query has no first page to find early, so it needs no rare facet.
    """
    return query.where(
        _owner_column(starts_from_few=filters.id is not None) == owner_id,
        *_column_conditions(filters),
        *(ChatSession.id.in_(each) for each in _having_each(filters, owner_id)),
    )


def has_external_id(
    external_id: str | ColumnElement[str],
) -> ColumnElement[bool]:
    """Return the condition as the partial index of external ids needs it."""
    return and_(
        ChatSession.external_id == external_id, ChatSession.former_owner_id.is_(None)
    )


def pinned_is(pinned: bool) -> ColumnElement[bool]:
    """Return the condition with a literal, as the partial index needs it."""
    return ChatSession.pinned == literal(pinned, literal_execute=True)


def _column_conditions(filters: SessionFilters) -> Iterable[ColumnElement[bool]]:
    if filters.archived is Archived.NO:
        yield ChatSession.archived_at.is_(None)
    elif filters.archived is Archived.YES:
        yield ChatSession.archived_at.is_not(None)
    if filters.pinned is not None:
        yield pinned_is(filters.pinned)
    parameters = filters.parameters()

    def given(name: str, column: InstrumentedAttribute[Any]) -> Named:
        return bindparam(
            f"filter_{name}", parameters[f"filter_{name}"], type_=column.type
        )

    if filters.id is not None:
        ids = bindparam("filter_ids", parameters["filter_ids"], type_=Text)
        yield in_id_list(ChatSession.id, ids)
    if filters.model is not None:
        column = ChatSession.llm_model_name
        yield column == given("model", column)
    if filters.external_id is not None:
        yield has_external_id(given("external_id", ChatSession.external_id))
    if filters.name is not None:
        part = given("name", ChatSession.name_folded)
        yield ChatSession.name_folded.like("%" + part + "%", escape=_ESCAPE)
    created, updated = ChatSession.created_at, ChatSession.last_updated_at
    if filters.created_after is not None:
        yield created > given("created_after", created)
    if filters.created_before is not None:
        yield created < given("created_before", created)
    if filters.updated_after is not None:
        yield updated > given("updated_after", updated)
    if filters.updated_before is not None:
        yield updated < given("updated_before", updated)


def _escaped(name: str | None) -> str | None:
    """Return the part of a name, folded and escaped for a LIKE pattern."""
    return name and re.sub("([%_/])", rf"{_ESCAPE}\1", fold(name))


def _one_of(having: Select[Any]) -> ColumnElement[bool]:
    if not is_sqlite():
        # Without the array, PostgreSQL reads all sessions to join them with these few.
        return ChatSession.id == func.any(func.array(having.scalar_subquery()))
    return ChatSession.id.in_(having)


def _shows_one_of(kind: Facet, values: list[Named]) -> ColumnElement[bool]:
    """Return the condition that a session has one of the values, for a walk."""
    if kind is Facet.DOCUMENT:
        return _lists_one_of(kind, values)
    return _is_indexed_with_one_of(kind, values)


def _is_indexed_with_one_of(kind: Facet, values: list[Named]) -> ColumnElement[bool]:
    """Return the condition that the session's own facets include one of the values.

    SQL cannot fold tags. Metadata can be long, and SQL cannot compare all its numbers
    exactly. So a walk looks up the primary key of `session_facets` instead.
    """
    one: ColumnElement[int] = literal_column("1")
    found = (
        select(one)
        .where(
            SessionFacet.session_id == ChatSession.id,
            SessionFacet.kind == kind,
            SessionFacet.value.in_(values),
        )
        .limit(1)
        .correlate(ChatSession)
    )
    # PostgreSQL would turn EXISTS into a join of all rows. It expects nearly every row
    # to pass this condition, so it walks the list.
    return found.scalar_subquery().is_not(None)


def _lists_one_of(kind: Facet, values: list[Named]) -> ColumnElement[bool]:
    """Return the condition that the session's own list holds one of the values.

    It costs at most a third of looking the session up in `session_facets`.
    """
    column: ColumnElement[Any] = getattr(ChatSession, COLUMNS[kind]).expression
    if not is_sqlite():
        # The planner expects a third of the rows to pass this function, but only a
        # thousandth to pass its operator ?|. With ?| it reads and sorts all rows.
        return func.jsonb_exists_any(sql_cast(column, JSONB), array(values))
    listed = func.json_each(column).table_valued("value")
    return select(literal_column("1")).where(listed.c.value.in_(values)).exists()


def _named_facets(filters: SessionFilters) -> list[tuple[Facet, list[Named]]]:
    """Return `filters.facets()`, with a bind parameter for each value."""
    return [
        (
            kind,
            [
                bindparam(f"filter_facet_{place}_{number}", value, type_=Text)
                for number, value in enumerate(values)
            ],
        )
        for place, (kind, values) in enumerate(filters.facets())
    ]


def _having_each(filters: SessionFilters, owner_id: str | Named) -> list[Select[Any]]:
    """Return, for each wanted facet, a query for the ids of sessions that have it."""
    facets = _named_facets(filters)
    return [_having(kind, values, owner_id) for kind, values in facets]


def _having(kind: Facet, values: list[Named], owner_id: str | Named) -> Select[Any]:
    return select(SessionFacet.session_id).where(
        SessionFacet.owner_id == owner_id,
        SessionFacet.kind == kind,
        SessionFacet.value.in_(values),
    )
