"""Compiles each SQL statement once for all test applications."""

from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.util import LRUCache

_MAX_STATEMENTS = 2000


def share_compiled_statements() -> None:
    """Let all engines with equal dialects share what SQLAlchemy compiles for one.

    SQLAlchemy compiles a statement for each engine, and each test has a new engine.
    That took a sixth of the processor's time. A server has one engine, so it compiles
    a statement once as well.
    """
    compile_for = ClauseElement._compile_w_cache
    cache: LRUCache[Any, Any] = LRUCache(_MAX_STATEMENTS)
    dialects: dict[Any, Dialect] = {}

    def compile_once(
        statement: ClauseElement,
        dialect: Dialect,
        *,
        compiled_cache: Any,
        **options: Any,
    ) -> Any:
        if compiled_cache is not None:
            dialect = dialects.setdefault(_kind(dialect), dialect)
            compiled_cache = cache
        return compile_for(statement, dialect, compiled_cache=compiled_cache, **options)

    ClauseElement._compile_w_cache = compile_once  # type: ignore[method-assign,assignment]


def _kind(dialect: Any) -> Any:
    """Return what the compiled form of a statement may depend on."""
    json = (dialect._json_serializer, dialect._json_deserializer)
    return (
        type(dialect),
        dialect.dbapi,
        dialect.server_version_info,
        *(getattr(each, "__code__", each) for each in json),
    )
