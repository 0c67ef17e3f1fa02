"""Which sessions are meant: one grammar for lists, bulk changes and search."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.orm import InstrumentedAttribute

from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import Archived, Facet
from chatstore.fulltext.words import fold
from chatstore.models import ChatSession, SessionFacet
from chatstore.store.facets import COLUMNS

Named = BindParameter[Any]

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

    def shape(self) -> "SessionFilters":
        """Return filters like these, of other values: those of `parameters` fit in.

        A statement that is made once for the shape serves all who ask alike.
        """
        names = (*_TEXTS, *_INSTANTS)
        others: dict[str, Any] = {
            name: "" if name in _TEXTS else _NEVER
            for name in names
            if getattr(self, name) is not None
        }
        for name in ("tag", "tag_any"):
            others[name] = ("",) * len(getattr(self, name))
        return replace(self, **others)

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that a statement made for the shape takes."""
        values = {f"filter_{name}": getattr(self, name) for name in _INSTANTS}
        values |= {"filter_model": self.model, "filter_name": _escaped(self.name)}
        for place, (_, facets) in enumerate(self.facets()):
            for number, value in enumerate(facets):
                values[f"filter_facet_{place}_{number}"] = value
        return values


_TEXTS = ("document", "model", "name")
_INSTANTS = ("created_after", "created_before", "updated_after", "updated_before")
_NEVER = datetime.max.replace(tzinfo=UTC)
_ESCAPE = "/"


def find_rare_facet(
    connection: Connection, filters: SessionFilters, *, owner_id: str
) -> int | None:
    """Return the place, in `filters.facets()`, of the one that few sessions have.

    None without one. Asks the database once if there are any facets.
    """
    wanted = filters.facets()
    if not wanted:
        return None
    parameters = {"the_owner": owner_id, **filters.parameters()}
    (numbers,) = _prepare_counts(_only_facets(filters).shape()).rows(
        connection, parameters
    )
    fewest = min(numbers)
    return numbers.index(fewest) if fewest <= FEW else None


def _only_facets(filters: SessionFilters) -> SessionFilters:
    return SessionFilters(
        tag=filters.tag, tag_any=filters.tag_any, document=filters.document
    )


@lru_cache(maxsize=64)  # making it costs more than running it
def _prepare_counts(shape: SessionFilters) -> Prepared:
    most: ColumnElement[int] = literal_column(str(FEW + 1))
    counts = [
        select(func.count()).select_from(bounded(each, most).subquery())
        for each in _having_each(shape, bindparam("the_owner"))
    ]
    return Prepared(select(*(each.scalar_subquery() for each in counts)))


def select_matching(
    query: Select[Any],
    filters: SessionFilters,
    *,
    owner_id: str | Named,
    rare_facet: int | None,
    dialect_name: str,
) -> Select[Any]:
    """Return `query` over sessions, only for the owner's that the filters let pass.

    It begins with those that have the rare facet, if there is one.
    """
    is_postgresql = dialect_name == "postgresql"
    owner: ColumnElement[str] = ChatSession.owner_id.expression
    if rare_facet is not None and not is_postgresql:
        # With the plus no index has it: or SQLite walks through all of the owner's
        # sessions, in their order, to find the few.
        owner = literal_column("+sessions.owner_id", owner.type)
    return query.where(
        owner == owner_id,
        *_column_conditions(filters),
        *(
            _one_of(_having(kind, values, owner_id), is_postgresql)
            if place == rare_facet
            else _lists_one_of(kind, values, is_postgresql)
            for place, (kind, values) in enumerate(_named_facets(filters))
        ),
    )


def select_all_matching(
    query: Select[Any], filters: SessionFilters, *, owner_id: str
) -> Select[Any]:
    """Return as `select_matching` does, for a query that looks at all of them.

    Then there is no first page to be found early, and nothing to ask before.
    """
    return query.where(
        ChatSession.owner_id == owner_id,
        *_column_conditions(filters),
        *(ChatSession.id.in_(each) for each in _having_each(filters, owner_id)),
    )


def pinned_is(pinned: bool) -> ColumnElement[bool]:
    """The condition in the words of the index of pinned sessions."""
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

    if filters.model is not None:
        column = ChatSession.llm_model_name
        yield column == given("model", column)
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
    """Return the part of a name as it stands between the % of a LIKE."""
    return name and re.sub("([%_/])", rf"{_ESCAPE}\1", fold(name))


def _one_of(having: Select[Any], is_postgresql: bool) -> ColumnElement[bool]:
    if is_postgresql:
        # As an array, or PostgreSQL reads all sessions to join them with these few.
        return ChatSession.id == func.any(func.array(having.scalar_subquery()))
    return ChatSession.id.in_(having)


def _lists_one_of(
    kind: Facet, values: list[Named], is_postgresql: bool
) -> ColumnElement[bool]:
    """The session's own list has one of the values: to ask it costs a third at most.

    That is, of looking for the session among those that have one.
    """
    column: ColumnElement[Any] = getattr(ChatSession, COLUMNS[kind]).expression
    if is_postgresql:
        # The function of the operator ?|, of which the planner expects that one in
        # three pass; of the operator one in a thousand, and reads and sorts them all.
        return func.jsonb_exists_any(sql_cast(column, JSONB), array(values))
    listed = func.json_each(column).table_valued("value")
    return select(literal_column("1")).where(listed.c.value.in_(values)).exists()


def _named_facets(filters: SessionFilters) -> list[tuple[Facet, list[Named]]]:
    """Return `filters.facets()`, its values as the parameters of `filters.named()`."""
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
    """Return, for each facet that is wanted, a query for the sessions that have it."""
    facets = _named_facets(filters)
    return [_having(kind, values, owner_id) for kind, values in facets]


def _having(kind: Facet, values: list[Named], owner_id: str | Named) -> Select[Any]:
    return select(SessionFacet.session_id).where(
        SessionFacet.owner_id == owner_id,
        SessionFacet.kind == kind,
        SessionFacet.value.in_(values),
    )
