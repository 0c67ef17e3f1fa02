"""Queries about the database itself: its configuration, and whether it is in use."""

from sqlalchemy import func, inspect, literal, select, text

from chatstore.db import db
from chatstore.models import ChangeFeed, Job, UsageProgress


def get_sqlite_pragma(name: str) -> str:
    """Return the value of a pragma of SQLite, as text."""
    return str(db.session.execute(text(f"PRAGMA {name}")).scalar_one())


def get_postgresql_setting(name: str) -> str:
    """Return the value of a setting of PostgreSQL, as `SHOW` prints it."""
    return str(db.session.execute(text(f"SHOW {name}")).scalar_one())


def get_postgresql_version() -> int:
    """Return the server's major version."""
    return int(get_postgresql_setting("server_version_num")) // 10_000


def is_standby() -> bool:
    """Whether this PostgreSQL server replicates another one, and refuses writes."""
    return bool(db.session.execute(text("SELECT pg_is_in_recovery()")).scalar_one())


def has_rows() -> bool:
    """Whether chatstore's tables have rows or, without them, other tables exist."""
    connection = db.session.connection()
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        return bool(tables)
    return any(
        connection.scalar(select(literal(1)).select_from(table).limit(1))
        for table in db.metadata.sorted_tables
        if table.name in tables and table.name not in _WITHOUT_DATA
    )


# Migrations write the rows of the change feed and of the progress of usage, and servers
# without any session write their jobs.
_WITHOUT_DATA = {each.__tablename__ for each in (ChangeFeed, Job, UsageProgress)}


def export_snapshot() -> str:
    """Return the name under which other connections import this one's snapshot.

    They can do so until the transaction ends, on PostgreSQL.
    """
    return db.session.scalar(select(func.pg_export_snapshot())) or ""


def count_other_clients() -> int:
    """Return how many other connections use this PostgreSQL database now."""
    # PostgreSQL caches the view until the transaction ends, so we drop its cache.
    db.session.execute(text("SELECT pg_stat_clear_snapshot()"))
    count = db.session.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND usesysid IS NOT NULL"
        )
    )
    return count or 0
