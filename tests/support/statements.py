"""The SQL statements that a piece of work sends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from chatstore.db import db, run_write

MOST_TO_READ = 3
MOST_TO_WRITE = 5
# A deletion for good also forgets the stored answers that show the session.
MOST_TO_PURGE = 6


@contextmanager
def recorded_statements() -> Iterator[list[str]]:
    """Yield a list that collects the statements sent in the block, BEGIN included."""
    statements: list[str] = []

    def record(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(db.engine, "before_cursor_execute", record)


def statements_of_read(read: Any, *arguments: Any, **keywords: Any) -> list[str]:
    db.session.remove()
    with recorded_statements() as statements:
        read(*arguments, **keywords)
    assert statements
    return statements


def statements_of_write(write: Any, *arguments: Any, **keywords: Any) -> list[str]:
    """Return the statements of `write` in its own transaction, COMMIT included."""
    db.session.remove()
    with recorded_statements() as statements:
        run_write(write, *arguments, **keywords)
    assert statements
    return [*statements, "COMMIT"]


def plan_of(
    database_kind: str, read: Callable[[], Any], *, avoids_scans: bool = False
) -> str:
    """Return the plan of the last statement that `read` sends.

    If `avoids_scans`, PostgreSQL scans a table, even an empty one, only if no index
    fits.
    """
    sent: list[tuple[str, Any]] = []

    def record(
        connection: Any, cursor: Any, statement: str, values: Any, *_: Any
    ) -> None:
        sent.append((statement, values))

    event.listen(db.engine, "before_cursor_execute", record)
    try:
        read()
    finally:
        event.remove(db.engine, "before_cursor_execute", record)
    statement, values = sent[-1]
    # PostgreSQL shows the subplans of a recursive query only after it has run.
    words = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN ANALYZE"}
    with db.engine.connect() as connection:
        cursor = connection.connection.cursor()
        if avoids_scans and database_kind == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"{words[database_kind]} {statement}", values)
        return str(cursor.fetchall())
