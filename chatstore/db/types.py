"""Column types and SQL functions that mean the same on every database."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from chatstore.clock import format_instant


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds, on every database.

    PostgreSQL has a type for it. SQLite would return a naive datetime, so there we
    store the text that the API sends (RFC 3339), which sorts by time.
    """

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(String(27))

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> datetime | str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else format_instant(value)

    def process_result_value(
        self, value: datetime | str | None, dialect: Dialect
    ) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value.astimezone(UTC) if value is not None else None


class JsonObject(TypeDecorator[dict[str, Any]]):
    """A JSON object; the empty one is stored as null, as in rows of older versions."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(
        self, value: dict[str, Any] | None, dialect: Dialect
    ) -> dict[str, Any] | None:
        return value or None

    def process_result_value(
        self, value: dict[str, Any] | None, dialect: Dialect
    ) -> dict[str, Any]:
        return value or {}


class next_instant(FunctionElement[datetime]):
    """SQL for `max(now, last + count µs)`.

    That is the last of `count` instants, 1 µs apart, which all come after `last`.
    """

    name = "next_instant"
    type = UtcDateTime()
    inherit_cache = True

    def __init__(
        self,
        last: SQLCoreOperations[datetime],
        now: SQLCoreOperations[datetime] | datetime,
        count: SQLCoreOperations[int] | int = 1,
    ) -> None:
        if isinstance(now, datetime):
            now = literal(now, UtcDateTime())
        super().__init__(last, now, count)


@compiles(next_instant)
def _next_instant(element: Any, compiler: Any, **options: Any) -> str:
    last, now, count = (compiler.process(each, **options) for each in element.clauses)
    if compiler.dialect.name == "postgresql":
        return f"greatest({now}, {last} + {count} * interval '1 microsecond')"
    return f"chatstore_next_instant({last}, {now}, {count})"


def next_instant_in_sqlite(last: str, now: str, count: int) -> str:
    after = datetime.fromisoformat(last) + timedelta(microseconds=count)
    return max(now, format_instant(after))
