"""Builds indexes and writes data in batches, outside of a step's transaction.

Knows no step and nothing of chatstore; env.py gives it a connection and a lock.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

T = TypeVar("T")

# Other statements queue behind one that waits for a table's lock, so it waits briefly.
LOCK_SECONDS = 1
TRIES = 60
_PAUSE_SECONDS = 2.0
_MOST_SECONDS = 1.0
# lock_not_available, deadlock_detected, serialization_failure
BUSY_STATES = frozenset({"55P03", "40P01", "40001"})
_BUSY_CODES = frozenset({5, 6})  # SQLITE_BUSY, SQLITE_LOCKED

_progress = sa.table(
    "migration_progress",
    sa.column("step", sa.Text()),
    sa.column("part", sa.Text()),
    sa.column("last", sa.Text()),
)


class Refused(Exception):
    """The step cannot run on this database; the text tells the administrator why."""


class Work:
    """A connection to migrate on, and the rules for the locks that it takes."""

    def __init__(
        self,
        connection: sa.Connection,
        *,
        held: Callable[[], AbstractContextManager[None]],
        frozen: Callable[[str], Any],
        is_pooled: bool = False,
    ) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.frozen = frozen
        # Values that a step's `prepare` leaves for its `finish`.
        self.memory: dict[str, Any] = {}
        self._held = held
        self._is_pooled = is_pooled
        if not self.is_sqlite:
            sa.event.listen(connection.engine, "begin", self._bound_locks)

    refusal = Refused

    def close(self) -> None:
        """Remove our event listener from the engine."""
        if not self.is_sqlite:
            sa.event.remove(self.connection.engine, "begin", self._bound_locks)

    def _bound_locks(self, connection: sa.Connection) -> None:
        if connection is self.connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")

    def end_transaction(self) -> None:
        """Commit the transaction that a query has begun, if there is one."""
        if self.connection.in_transaction():
            self.connection.commit()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold SQLite's writer lock; transactions in the block begin as IMMEDIATE."""
        self.end_transaction()
        with self._held():
            self.connection.execution_options(sqlite_begin="IMMEDIATE")
            try:
                yield
            finally:
                self.connection.execution_options(sqlite_begin="DEFERRED")

    def read(
        self,
        query: sa.Executable,
        values: Mapping[str, Any] | None = None,
    ) -> Sequence[sa.Row[Any]]:
        """Return all rows of `query`, in a transaction that blocks no writer."""
        rows = self.connection.execute(query, values or {}).all()
        self.end_transaction()
        return rows

    def write(self, change: Callable[..., T], *arguments: Any) -> T:
        """Return `change(connection, ...)`, run in a short transaction of its own.

        Retries when a lock is busy or another writer was first. Pauses after each
        attempt, so that others can write.
        """
        for number in range(1, TRIES + 1):
            begun = time.monotonic()
            try:
                with self.holding(), self.connection.begin():
                    begun = time.monotonic()
                    done = change(self.connection, *arguments)
            except DBAPIError as error:
                if number == TRIES or not (is_busy(error) or is_overtaken(error)):
                    raise
                self.wait(number)
                continue
            # SQLite's lock is unfair: a thread that asks again at once gets it again.
            # So we pause.
            time.sleep(min(time.monotonic() - begun, _MOST_SECONDS))
            return done
        raise AssertionError("unreachable")

    def wait(self, number: int) -> None:
        """Pause before the next attempt, so that the queue behind a lock can move."""
        self.show(f"a table is in use, attempt {number} of {TRIES}")
        time.sleep(_PAUSE_SECONDS)

    def change(self, statement: str) -> None:
        """Run one statement of DDL in a transaction of its own."""
        self.write(lambda connection: connection.exec_driver_sql(statement))

    def add_column(self, table: str, name: str, definition: str) -> None:
        """Add a column, unless an earlier attempt has added it."""
        columns = sa.inspect(self.connection).get_columns(table)
        self.end_transaction()
        if name not in {each["name"] for each in columns}:
            self.change(f"ALTER TABLE {table} ADD COLUMN {name} {definition}")

    def create_index(
        self,
        name: str,
        table: str,
        columns: Sequence[str],
        *,
        where: str = "",
        is_unique: bool = False,
    ) -> None:
        """Build an index unless it exists; on PostgreSQL, concurrently with writes."""
        kind = "UNIQUE INDEX" if is_unique else "INDEX"
        target = f"{name} ON {table} ({', '.join(columns)})"
        condition = f" WHERE {where}" if where else ""
        self.show(f"building {name}")
        if self.is_sqlite:
            self.change(f"CREATE {kind} IF NOT EXISTS {target}{condition}")
            return
        with self._autocommitting():
            self._create_concurrently(
                name, f"CREATE {kind} CONCURRENTLY", target, where
            )

    def _create_concurrently(
        self, name: str, create: str, target: str, where: str
    ) -> None:
        condition = f" WHERE {where}" if where else ""
        for number in range(1, TRIES + 1):
            is_valid = self.connection.scalar(
                sa.text(
                    "SELECT indisvalid FROM pg_index"
                    " WHERE indexrelid = to_regclass(:name)"
                ),
                {"name": name},
            )
            if is_valid:
                return
            try:
                # An interrupted attempt leaves an invalid index, so we drop it.
                if is_valid is False:
                    self.connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
                self.connection.exec_driver_sql(f"{create} {target}{condition}")
                return
            except DBAPIError as error:
                if number == TRIES or not is_busy(error):
                    raise
            self.wait(number)

    @contextmanager
    def _autocommitting(self) -> Iterator[None]:
        # A concurrent build waits for older transactions but blocks no other statement,
        # so it needs no timeout.
        self.end_transaction()
        self.connection.execution_options(isolation_level="AUTOCOMMIT")
        names = () if self._is_pooled else ("lock_timeout", "statement_timeout")
        try:
            for name in names:
                self.connection.exec_driver_sql(f"SET {name} = 0")
            yield
            for name in names:
                self.connection.exec_driver_sql(f"RESET {name}")
        finally:
            self.end_transaction()
            self.connection.execution_options(isolation_level="READ COMMITTED")

    def create_progress(self) -> None:
        """Create the table that stores the progress of each part of a step."""
        self.change(
            "CREATE TABLE IF NOT EXISTS migration_progress (step varchar(32) NOT NULL,"
            " part varchar(32) NOT NULL, last text NOT NULL, PRIMARY KEY (step, part))"
        )

    def last(self, step: str, part: str) -> str | None:
        """Return the key of the last finished row as text; None before the first."""
        rows = self.read(sa.select(_progress.c.last).where(*_is(step, part)))
        return rows[0].last if rows else None

    def save(self, step: str, part: str, last: object) -> None:
        """Store the last key of a batch, in the transaction of this batch."""
        moved = sa.update(_progress).where(*_is(step, part)).values(last=str(last))
        if not self.connection.execute(moved).rowcount:
            self.connection.execute(
                sa.insert(_progress).values(step=step, part=part, last=str(last))
            )

    def show(self, text: str) -> None:
        """Show the progress on a terminal; elsewhere do nothing."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()


def _is(step: str, part: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _progress.c.step == step, _progress.c.part == part


def is_busy(error: DBAPIError) -> bool:
    """Whether a lock, a deadlock or a serialization failure stopped the statement."""
    state = getattr(error.orig, "sqlstate", None)
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return state in BUSY_STATES or code in _BUSY_CODES


def is_overtaken(error: DBAPIError) -> bool:
    """Whether another writer took a number or deleted a row first."""
    return isinstance(error, IntegrityError)


def replace_checks(
    connection: sa.Connection, table: str, checks: Mapping[str, str | None]
) -> None:
    """Set CHECK constraints of a SQLite table by name; None removes one.

    SQLite adds a constraint only to a new table, which would copy all rows under the
    lock. So we edit the table's definition in sqlite_schema, which is allowed if the
    rows keep their format (https://sqlite.org/lang_altertable.html, the second
    procedure). The edit is transactional: a crash leaves the old or the new definition.
    """
    query = sa.text("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = :of")
    before = after = connection.scalar(query, {"of": table})
    for name, condition in checks.items():
        after = re.sub(rf",\s*CONSTRAINT {name} CHECK \(.*\)(?=,\n|\n\))", "", after)
        if condition is not None:
            end = after.rindex(")")
            check = f",\n\tCONSTRAINT {name} CHECK ({condition})\n"
            after = after[:end].rstrip() + check + after[end:]
    if after == before:
        return
    version = connection.scalar(sa.text("PRAGMA schema_version"))
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    try:
        connection.execute(
            sa.text("UPDATE sqlite_schema SET sql = :sql WHERE name = :of"),
            {"sql": after, "of": table},
        )
        connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    finally:
        # RESET reads the schema again, so an invalid definition fails here.
        connection.exec_driver_sql("PRAGMA writable_schema = RESET")
    connection.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1")  # nosec B608
    if connection.scalar(query, {"of": table}) != after:
        raise Refused(f"This build of SQLite cannot change the constraints of {table}.")
