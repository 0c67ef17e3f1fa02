"""SQL that builds the JSON of responses inside the database; no HTTP.

A page is one text, which takes a third of the time of separate rows and values.
SQLite's driver lets other threads run at each row, so a page of many rows waits often.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    and_,
    case,
    func,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import FunctionElement

from chatstore.db import sqlite
from chatstore.schemas.dumping import Member

# Names of chosen fields. Callers may choose from 2^n sets of them, so a cache of
# statements keeps only the latest ones.
Fields = tuple[str, ...]
MAX_FIELD_SETS = 64

# JSON texts never hold this character unescaped; RFC 7464 separates texts by it too.
_SEPARATOR = "\x1e"
_NOTHING: ColumnElement[str] = literal_column("''")
# SQL for the JSON of a value, by kind. Stored JSON is not parsed, so a number keeps its
# digits.
_BOOLEAN = "CASE WHEN {0} THEN 'true' ELSE 'false' END"
_SQLITE = {
    "instant": "json_quote({0})",
    "uuid": """printf('"%.8s-%.4s-%.4s-%.4s-%s"',"""
    " {0}, substr({0}, 9), substr({0}, 13), substr({0}, 17), substr({0}, 21))",
    "text": "json_quote({0})",
    "json": "coalesce({0}, 'null')",
    "boolean": _BOOLEAN,
    "integer": "{0}",
}
_POSTGRESQL = {
    "instant": "coalesce(to_char({0} AT TIME ZONE 'UTC',"
    """ '\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"'), 'null')""",
    "uuid": """'"' || {0} || '"'""",
    "text": "coalesce(CAST(to_json({0}) AS text), 'null')",
    "json": "coalesce(CAST({0} AS text), 'null')",
    "boolean": _BOOLEAN,
    "integer": "{0}",
}

# The same for a value that may be null, for which the SQL is null. "members" are those
# of a stored object: its text is compact, so its first and last characters are braces.
_SQLITE_GIVEN = {
    "instant": """'"' || {0} || '"'""",
    "integer": "{0}",
    "json": "{0}",
    "members": "substr({0}, 2, length({0}) - 2)",
}
_POSTGRESQL_GIVEN = {
    "instant": "to_char({0} AT TIME ZONE 'UTC',"
    """ '\\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"\\"')""",
    "integer": "{0}",
    "json": "CAST({0} AS text)",
    "members": "substr(CAST({0} AS text), 2, length(CAST({0} AS text)) - 2)",
}


class AppendedMessage(NamedTuple):
    """An appended message, with the id, seq and timestamp that it got."""

    id: int
    session_id: UUID
    seq: int
    timestamp: datetime
    role: str
    content: str
    metadata_: dict[str, Any] | None
    extra: dict[str, Any] | None
    parent_seq: int | None


class json_value(FunctionElement[str]):
    """SQL for the JSON text of one value of a kind."""

    name = "json_value"
    type = Text()
    inherit_cache = True

    def __init__(self, kind: str, column: SQLCoreOperations[Any]) -> None:
        super().__init__(literal_column(kind), column)


@compiles(json_value)
def _json_value(element: Any, compiler: Any, **options: Any) -> str:
    kind, column = element.clauses
    return _SQLITE[kind.name].format(compiler.process(column, **options))


@compiles(json_value, "postgresql")
def _json_value_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    kind, column = element.clauses
    return _POSTGRESQL[kind.name].format(compiler.process(column, **options))


class formatted(FunctionElement[str]):
    """SQL for a format string with a value for each `%s`."""

    name = "formatted"
    type = Text()
    inherit_cache = True


@compiles(formatted)
def _format(element: Any, compiler: Any, **options: Any) -> str:
    return f"printf({compiler.process(element.clauses, **options)})"


@compiles(formatted, "postgresql")
def _format_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"format({compiler.process(element.clauses, **options)})"


class stored_bytes(FunctionElement[int]):
    """SQL for the bytes of the texts and JSON in these columns; null counts 0."""

    name = "stored_bytes"
    type = Integer()
    inherit_cache = True


@compiles(stored_bytes)
def _stored_bytes(element: Any, compiler: Any, **options: Any) -> str:
    # SQLite knows the size of a bare column without reading it; a CAST would read it.
    return _sum("octet_length({})", element, compiler, options)


@compiles(stored_bytes, "postgresql")
def _stored_bytes_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    # PostgreSQL has no octet_length of json, so we cast it.
    return _sum("octet_length(CAST({} AS text))", element, compiler, options)


def _sum(size: str, element: Any, compiler: Any, options: dict[str, Any]) -> str:
    """Return the SQL for the sum of the sizes of all columns of an element."""
    sizes = (
        f"coalesce({size.format(compiler.process(each, **options))}, 0)"
        for each in element.clauses
    )
    return f"({' + '.join(sizes)})"


class disk_bytes(FunctionElement[int]):
    """SQL for the bytes that these columns take in the database, without reading them.

    PostgreSQL counts compressed bytes.
    """

    name = "disk_bytes"
    type = Integer()
    inherit_cache = True


@compiles(disk_bytes)
def _disk_bytes(element: Any, compiler: Any, **options: Any) -> str:
    return _sum("octet_length({})", element, compiler, options)


@compiles(disk_bytes, "postgresql")
def _disk_bytes_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return _sum("pg_column_size({})", element, compiler, options)


class in_list(FunctionElement[Any]):
    """SQL for a condition: the column is one of the integers in a text as "1,2,3".

    PostgreSQL and SQLite look up each integer in an index.
    """

    name = "in_list"
    # SQLAlchemy compares a Boolean with 1, which hides it from indexes.
    type = Integer()
    inherit_cache = True


@compiles(in_list)
def _in_list(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    numbers = f"json_each('[' || {values} || ']')"
    return f"{column} IN (SELECT value FROM {numbers})"  # nosec B608


@compiles(in_list, "postgresql")
def _in_list_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY (CAST(string_to_array({values}, ',') AS integer[]))"


class in_id_list(FunctionElement[Any]):
    """SQL for a condition: the column is one of the UUIDs in a text as "hex,hex".

    PostgreSQL and SQLite look up each UUID in an index.
    """

    name = "in_id_list"
    type = Integer()
    inherit_cache = True


@compiles(in_id_list)
def _in_id_list(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    ids = f"""json_each('["' || replace({values}, ',', '","') || '"]')"""
    return f"{column} IN (SELECT value FROM {ids})"  # nosec B608


@compiles(in_id_list, "postgresql")
def _in_id_list_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY (CAST(string_to_array({values}, ',') AS uuid[]))"


class given_member(FunctionElement[str]):
    """SQL for the JSON text of a member of a kind after a comma; '' if it is null.

    The name `None` stands for a stored JSON object, all members of which are given.
    """

    name = "given_member"
    type = Text()
    inherit_cache = True

    def __init__(
        self, kind: str, name: str | None, column: SQLCoreOperations[Any]
    ) -> None:
        place = "" if name is None else f'"{name}":'
        super().__init__(literal_column(kind), literal_column(f"',{place}'"), column)


@compiles(given_member)
def _given_member(element: Any, compiler: Any, **options: Any) -> str:
    kind, start, column = element.clauses
    is_postgresql = compiler.dialect.name == "postgresql"
    texts = _POSTGRESQL_GIVEN if is_postgresql else _SQLITE_GIVEN
    text = texts[kind.name].format(compiler.process(column, **options))
    # Both databases give null for a text joined to null. PostgreSQL starts a statement
    # the later the longer its expressions are, so this one is short.
    return f"coalesce({compiler.process(start, **options)} || {text}, '')"


class object_member(FunctionElement[str]):
    """SQL for the JSON text of one member of a stored object; null if it is absent."""

    name = "object_member"
    type = Text()
    inherit_cache = True

    def __init__(self, column: SQLCoreOperations[Any], name: str) -> None:
        super().__init__(column, literal_column(name))


@compiles(object_member)
def _object_member(element: Any, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    place = f"{compiler.process(column, **options)}, '$.{name.name}'"
    # json_quote(NULL) is the text null, so the type tells whether there is a member.
    value = f"json_quote(json_extract({place}))"
    return f"CASE WHEN json_type({place}) IS NOT NULL THEN {value} END"


@compiles(object_member, "postgresql")
def _object_member_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    return f"({compiler.process(column, **options)} -> '{name.name}')"


def as_json(
    members: Sequence[Member],
    columns: Mapping[str, SQLCoreOperations[Any]],
    *,
    optional: Sequence[Member] = (),
    extra: SQLCoreOperations[Any] | None = None,
) -> ColumnElement[str]:
    """Return SQL for the text of the JSON object with these members of a row.

    The keys of `columns` are the names of the model's attributes. Members in `optional`
    are left out where they are null. `extra` is a stored object with further members.
    """
    template = ",".join(f'"{each.name}":%s' for each in members)
    values: list[ColumnElement[str]] = [
        json_value(each.kind, columns[each.attribute]) for each in members
    ]
    if optional or extra is not None:
        template += "%s"
        rare = _rare_members(optional, columns, extra)
        # Each rare member begins with a comma, which the first of an object must not.
        values += [rare if members else func.substr(rare, 2)]
    return formatted(literal_column(f"'{{{template}}}'"), *values)


def _rare_members(
    members: Sequence[Member],
    columns: Mapping[str, SQLCoreOperations[Any]],
    extra: SQLCoreOperations[Any] | None,
) -> ColumnElement[str]:
    """Return SQL for the text of the members that are not null, each after a comma."""
    given: list[tuple[str, str | None, SQLCoreOperations[Any]]] = [
        (each.kind, each.name, columns[each.attribute]) for each in members
    ]
    if extra is not None:
        given += [("members", None, extra)]
    # Most rows have none of them, so one condition decides for all.
    has_none = and_(*(column.is_(None) for _, _, column in given))
    texts: list[ColumnElement[str]] = [given_member(*each) for each in given]
    all_texts = reduce(lambda one, other: one.concat(other), texts)
    return case((has_none, _NOTHING), else_=all_texts)


def join_rows(
    column: ColumnElement[Any], *, by: Sequence[ColumnElement[Any]], is_descending: bool
) -> ColumnElement[str]:
    """Return SQL for one text of all values of a column; `split_values` splits it.

    Values are ordered by the columns `by`, all descending or all ascending. SQLite
    sorts once for each `join_rows` in a statement and holds its text twice, so use one
    per statement.
    """
    values = func.aggregate_strings(column, _SEPARATOR)
    keys = [each.desc() if is_descending else each.asc() for each in by]
    return _ordered_aggregate(values, values.aggregate_order_by(*keys))


def join_columns(*columns: ColumnElement[str]) -> ColumnElement[str]:
    """Return SQL for one text of several values; `split_values` splits it."""
    places = _SEPARATOR.join("%s" for _ in columns)
    return formatted(literal_column(f"'{places}'"), *columns)


def split_values(values: str | None) -> Sequence[str]:
    """Return the values that `join_rows` and `join_columns` joined."""
    return values.split(_SEPARATOR) if values is not None else []


class _ordered_aggregate(FunctionElement[str]):
    """SQL for an ordered aggregate, from its forms without and with ORDER BY."""

    name = "in_order"
    type = Text()
    inherit_cache = True


@compiles(_ordered_aggregate)
def _compile_ordered_aggregate(element: Any, compiler: Any, **options: Any) -> str:
    _, ordered = element.clauses
    text: str = compiler.process(ordered, **options)
    return text


@compiles(_ordered_aggregate, "sqlite")
def _compile_ordered_aggregate_in_sqlite(
    element: Any, compiler: Any, **options: Any
) -> str:
    # SQLite before 3.44 refuses ORDER BY in an aggregate. Such a release feeds the
    # aggregate in the order of its subquery, so we leave ORDER BY out.
    unordered, ordered = element.clauses
    is_old = not sqlite.can_order_aggregates()
    text: str = compiler.process(unordered if is_old else ordered, **options)
    return text


def as_instant(value: datetime | str) -> datetime:
    """Return a driver's value as an instant in UTC; SQLite's driver gives a text."""
    value = datetime.fromisoformat(value) if isinstance(value, str) else value
    return value.astimezone(UTC)


def as_uuid(value: UUID | str) -> UUID:
    """Return a driver's value as a UUID; SQLite's driver gives a text."""
    return value if isinstance(value, UUID) else UUID(value)


def columns_by_attribute(model: Any) -> dict[str, SQLCoreOperations[Any]]:
    """Return the columns of a model by attribute name."""
    return {
        each.key: getattr(model, each.key) for each in model.__mapper__.column_attrs
    }
