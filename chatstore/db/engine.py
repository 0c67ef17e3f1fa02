"""Owns the database object and connects an application to its database."""

import select
from pathlib import Path
from typing import Any

import orjson
import structlog
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, MetaData, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase

from chatstore.db import sqlite
from chatstore.db.errors import db_error_text, is_stale_statement
from chatstore.db.turns import Turns
from chatstore.db.types import next_instant_in_sqlite
from chatstore.errors import SettingsError
from chatstore.settings import Settings

WRITES = {"sqlite_begin": "IMMEDIATE"}
# PostgreSQL waits this long for a lock. Then the connection returns to the pool, and we
# retry the transaction. Slightly longer than the default `deadlock_timeout` of 1 s.
_MOST_LOCK_SECONDS = 1.25
# Writers of one chat session at a time: one works, the other waits for its lock.
_WRITERS_OF_ONE = 2
log = structlog.get_logger(__name__)


class Base(DeclarativeBase):
    """Base of every model."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


# Views serialize objects after the commit, so a commit must not expire them.
db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})


def is_sqlite() -> bool:
    """Whether the application's database is SQLite; if not, it is PostgreSQL."""
    return db.engine.dialect.name == "sqlite"


def init_database(app: Flask, settings: Settings) -> None:
    """Configure `app` for the database in `settings`; opens no connection.

    Raises SettingsError when the URL cannot be read.
    """
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    try:
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _engine_options(settings)
        db.init_app(app)
    except (ArgumentError, ValueError) as error:
        raise SettingsError(
            f"CHATSTORE_DATABASE_URL cannot be read: {error}"
        ) from error
    app.teardown_appcontext(_remove_session)
    app.extensions["chatstore-wait-seconds"] = settings.lock_timeout_seconds
    few = max(1, settings.threads // 4)
    app.extensions["chatstore-searches"] = Turns(width=few, wanted_by="searches")
    if settings.sqlite_path is None:
        _prepare_postgresql(app, settings)
    else:
        _prepare_sqlite(app, settings.sqlite_path, settings)
    with app.app_context():
        reading = db.engine.execution_options(**_reading_options(settings))
        app.extensions["chatstore-reading"] = reading
        app.extensions["chatstore-writing"] = db.engine.execution_options(**WRITES)


def _reading_options(settings: Settings) -> dict[str, Any]:
    if settings.sqlite_path is not None:
        return {"sqlite_begin": None}
    if settings.database_pooler == "pgbouncer":
        # PgBouncer keeps our settings only within a transaction, so reads need a BEGIN.
        return {"begins_reads": True}
    return {"isolation_level": "AUTOCOMMIT"}


def _prepare_sqlite(app: Flask, path: Path, settings: Settings) -> None:
    lock = sqlite.WriterLock(path, timeout_seconds=settings.lock_timeout_seconds)
    app.extensions["chatstore-writer-lock"] = lock
    app.extensions["chatstore-lock-seconds"] = settings.lock_timeout_seconds
    with app.app_context():
        sqlite.prepare_engine(
            db.engine,
            writer_lock=lock,
            busy_timeout_ms=settings.lock_timeout_seconds * 1000,
            connect_timeout_seconds=settings.pool_timeout_seconds,
            statement_timeout_seconds=settings.statement_timeout_seconds,
            functions={"chatstore_next_instant": next_instant_in_sqlite},
            sets_journal_mode=app.extensions["chatstore-makes-files"],
        )


def _remove_session(error: BaseException | None) -> None:
    # Flask-SQLAlchemy's teardown raises if the connection is lost. The response needs
    # no connection any more, so we remove the session first and only log the error.
    try:
        db.session.remove()
    except DBAPIError as lost:
        log.warning("connection lost after reading", cause=db_error_text(lost))


def _prepare_postgresql(app: Flask, settings: Settings) -> None:
    with app.app_context():
        engine = db.engine
    app.extensions["chatstore-lock-seconds"] = _lock_seconds(settings)
    app.extensions["chatstore-turns"] = Turns(width=_WRITERS_OF_ONE)
    # A thread that waits for a lock holds a connection. At most a quarter of the
    # threads may retry such a wait, so other requests find a connection.
    app.extensions["chatstore-blocked"] = Turns(width=max(1, settings.threads // 4))
    event.listen(engine, "handle_error", _hide_values)
    event.listen(engine, "handle_error", _replace_connections_of_stale_statements)
    event.listen(engine, "checkout", _drop_if_closed)
    if settings.database_pooler == "pgbouncer":
        settle = ", ".join(
            f"set_config('{name}', '{value}', true)"
            for name, value in _session_settings(settings).items()
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT {settle}")

    event.listen(engine, "begin", _bound_lock_waits)


def _bound_lock_waits(connection: Connection) -> None:
    seconds = connection.get_execution_options().get("lock_seconds")
    if seconds is not None:
        milliseconds = max(int(seconds * 1000), 1)  # 0 means no timeout
        connection.exec_driver_sql(
            f"SELECT set_config('lock_timeout', '{milliseconds}', true)"
        )


def _lock_seconds(settings: Settings) -> float:
    """Return how many seconds PostgreSQL may wait for a lock at a time.

    The waiting transaction keeps its connection, so this is shorter than
    `pool_timeout_seconds`, for which other threads wait for a connection.
    """
    statement = settings.statement_timeout_seconds or float("inf")
    return min(
        _MOST_LOCK_SECONDS,
        settings.lock_timeout_seconds,
        settings.pool_timeout_seconds / 2,
        statement / 2,
    )


def _drop_if_closed(connection: Any, record: Any, proxy: Any) -> None:
    if not record.info.get("used"):
        record.info["used"] = True  # a new connection is open
        return
    # A readable idle socket means that the server closed the connection. This check
    # costs no round trip, unlike `pool_pre_ping`, which takes 4 to 23 % of the requests
    # per second of one client that reads a session. Retries cover what it misses.
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError


def _session_settings(settings: Settings) -> dict[str, str]:
    return {
        "timezone": "UTC",
        "lock_timeout": f"{int(_lock_seconds(settings) * 1000)}ms",
        "statement_timeout": f"{settings.statement_timeout_seconds}s",
        # Starting a parallel worker takes 6 ms; most statements take less than 1 ms.
        "max_parallel_workers_per_gather": "0",
    }


def _hide_values(context: ExceptionContext) -> None:
    # PostgreSQL's error details quote the refused row, so message text would reach a
    # log. The primary message quotes no row, so we keep only that.
    diagnosis = getattr(context.original_exception, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    if primary and context.sqlalchemy_exception is not None:
        context.original_exception.args = (primary,)
        context.sqlalchemy_exception.args = (primary,)


def _replace_connections_of_stale_statements(context: ExceptionContext) -> None:
    # psycopg would reuse the stale prepared statement. A new connection has prepared
    # nothing, so we mark this one as lost and leave the rest to the retries. SQLAlchemy
    # then replaces the whole pool: a migration makes its statements stale as well.
    if is_stale_statement(context.original_exception):
        context.is_disconnect = True


def _engine_options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "json_serializer": lambda value: orjson.dumps(value).decode(),
        "json_deserializer": orjson.loads,
        "hide_parameters": True,  # message text must not reach a log
        "pool_size": settings.threads,
        "max_overflow": 0,
        "pool_timeout": settings.pool_timeout_seconds,
    }
    if settings.sqlite_path is not None:
        return options | {"module": sqlite.driver()}
    connect = {"connect_timeout": settings.pool_timeout_seconds}
    if settings.database_pooler == "pgbouncer":
        # Each transaction may run in another server process, so we keep no state there:
        # no prepared statements and no startup options.
        return options | {"connect_args": connect | {"prepare_threshold": None}}
    given = make_url(settings.database_url).query.get("options", "")
    ours = " ".join(
        f"-c {name}={value}" for name, value in _session_settings(settings).items()
    )
    connect_args = connect | {"options": f"{ours} {given}".strip()}
    return options | {"connect_args": connect_args}
