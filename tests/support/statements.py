"""The SQL statements that a piece of work sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from chatstore.db import db, run_write

MOST_TO_READ = 3
MOST_TO_WRITE = 5


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
