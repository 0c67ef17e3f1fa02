"""Owns the database object and connects an application to its database."""

import select
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import orjson
import structlog
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase

from chatstore.app_state import add_to_app, get_from_app
from chatstore.db import row_owner, sqlite
from chatstore.db.errors import db_error_text, is_stale_statement
from chatstore.db.turns import Turns
from chatstore.db.types import next_instant_in_sqlite
from chatstore.errors import SettingsError
from chatstore.settings import Settings

_P = ParamSpec("_P")
_T = TypeVar("_T")
WRITE_OPTIONS = {"sqlite_begin": "IMMEDIATE"}
# PostgreSQL waits this long for a lock. Then the connection returns to the pool, and we
# retry the transaction. Slightly longer than the default `deadlock_timeout` of 1 s.
_MAX_LOCK_SECONDS = 1.25
# Writers of one chat session at a time: one works, the other waits for its lock.
_MAX_WRITERS_PER_SESSION = 2
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


@dataclass(frozen=True, kw_only=True)
class DatabaseState:
    """What the transactions of one application share.

    `readers` and `writers` are the engine with the options of reads and of Core writes.
    A request waits for locks for `lock_timeout_seconds` in all, and PostgreSQL waits
    for `lock_wait_seconds` at a time. SQLite has a writer lock, PostgreSQL has turns
    for each session.
    """

    lock_timeout_seconds: float
    lock_wait_seconds: float
    readers: Engine
    writers: Engine
    writer_lock: sqlite.WriterLock | None
    session_turns: Turns | None
    blocked_turns: Turns
    search_turns: Turns
    copy_turns: Turns


def database_state(app: Flask | None = None) -> DatabaseState:
    """Return the state of the database of `app`, by default the current one."""
    return get_from_app(DatabaseState, app)


def cached_per_database(maxsize: int) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Cache what a function returns, separately for SQLite and PostgreSQL.

    For functions that build a statement, which may ask `is_sqlite`. The arguments must
    be hashable. The cache keeps the last `maxsize` results.
    """

    def decorate(build: Callable[_P, _T]) -> Callable[_P, _T]:
        @lru_cache(maxsize=maxsize)
        def cached(on_sqlite: bool, *args: Any, **kwargs: Any) -> _T:
            return build(*args, **kwargs)

        @wraps(build)
        def from_cache(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            keywords: dict[str, Any] = kwargs
            return cached(is_sqlite(), *args, **keywords)

        return from_cache

    return decorate


def init_database(app: Flask, settings: Settings, *, creates_files: bool) -> None:
    """Configure `app` for the database in `settings`; opens no connection.

    Unless `creates_files`, the database's file, which may not be ours, stays as it is.
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
    with app.app_context():
        engine = db.engine
    writer_lock = session_turns = None
    if settings.sqlite_path is None:
        session_turns = Turns(places=_MAX_WRITERS_PER_SESSION)
        _prepare_postgresql(engine, settings)
    else:
        writer_lock = sqlite.WriterLock(
            settings.sqlite_path, timeout_seconds=settings.lock_timeout_seconds
        )
        _prepare_sqlite(engine, settings, writer_lock, creates_files)
    # A search or a wait for a lock holds a connection for seconds, and the copy of a
    # large session holds a thread for minutes. Each may take a quarter of them, so
    # other requests find one.
    quarter = max(1, settings.threads // 4)
    state = DatabaseState(
        lock_timeout_seconds=settings.lock_timeout_seconds,
        lock_wait_seconds=_lock_wait_seconds(settings),
        readers=engine.execution_options(**_read_options(settings)),
        writers=engine.execution_options(**WRITE_OPTIONS),
        writer_lock=writer_lock,
        session_turns=session_turns,
        blocked_turns=Turns(places=quarter),
        search_turns=Turns(places=quarter, waiters="searches"),
        copy_turns=Turns(places=quarter, waiters="forks"),
    )
    add_to_app(app, state)


def truncate_sqlite_log() -> None:
    """Move SQLite's log into the database, so that no deleted text stays in it.

    Does nothing on PostgreSQL, or if a reader still needs the log.
    """
    state = database_state()
    if state.writer_lock is None:
        return
    with state.writer_lock.held(), state.readers.connect() as connection:
        sqlite.truncate_log(connection)


def _read_options(settings: Settings) -> dict[str, Any]:
    if settings.sqlite_path is not None:
        return {"sqlite_begin": None}
    if settings.database_pooler == "pgbouncer":
        # PgBouncer keeps our settings only within a transaction, so reads need a BEGIN.
        return {"begins_reads": True}
    return {"isolation_level": "AUTOCOMMIT"}


def _prepare_sqlite(
    engine: Engine,
    settings: Settings,
    writer_lock: sqlite.WriterLock,
    creates_files: bool,
) -> None:
    sqlite.prepare_engine(
        engine,
        writer_lock=writer_lock,
        busy_timeout_ms=settings.lock_timeout_seconds * 1000,
        connect_timeout_seconds=settings.pool_timeout_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        functions={"chatstore_next_instant": next_instant_in_sqlite},
        sets_journal_mode=creates_files,
    )


def _remove_session(error: BaseException | None) -> None:
    # Flask-SQLAlchemy's teardown raises if the connection is lost. The response needs
    # no connection any more, so we remove the session first and only log the error.
    try:
        db.session.remove()
    except DBAPIError as lost:
        log.warning("connection lost after reading", cause=db_error_text(lost))


def _prepare_postgresql(engine: Engine, settings: Settings) -> None:
    event.listen(engine, "handle_error", _hide_values)
    event.listen(engine, "handle_error", _replace_connections_of_stale_statements)
    event.listen(engine, "checkout", _drop_if_closed)
    if settings.row_security and settings.database_pooler == "none":
        event.listen(engine, "checkout", row_owner.apply_row_owner)
    if settings.database_pooler == "pgbouncer":
        set_settings = ", ".join(
            f"set_config('{name}', '{value}', true)"
            for name, value in _session_settings(settings).items()
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            owner_id = (
                row_owner.row_owner() if settings.row_security else row_owner.ALL_OWNERS
            )
            connection.exec_driver_sql(
                f"SELECT {set_settings}, set_config('{row_owner.SETTING}', %s, true)",
                (owner_id,),
            )

    event.listen(engine, "begin", _bound_lock_waits)


def _bound_lock_waits(connection: Connection) -> None:
    seconds = connection.get_execution_options().get("lock_seconds")
    if seconds is not None:
        milliseconds = max(int(seconds * 1000), 1)  # 0 means no timeout
        connection.exec_driver_sql(
            f"SELECT set_config('lock_timeout', '{milliseconds}', true)"
        )


def _lock_wait_seconds(settings: Settings) -> float:
    """Return how many seconds the database may wait for a lock at a time.

    SQLite's writers queue for our own lock, so they may wait to the end. On PostgreSQL
    the waiting transaction keeps its connection, so this is shorter than
    `pool_timeout_seconds`, for which other threads wait for a connection.
    """
    if settings.sqlite_path is not None:
        return settings.lock_timeout_seconds
    statement = settings.statement_timeout_seconds or float("inf")
    return min(
        _MAX_LOCK_SECONDS,
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
        "lock_timeout": f"{int(_lock_wait_seconds(settings) * 1000)}ms",
        "statement_timeout": f"{settings.statement_timeout_seconds}s",
        # Starting a parallel worker takes 6 ms; most statements take less than 1 ms.
        "max_parallel_workers_per_gather": "0",
        # The bitmap of a common word takes more than the default of 4 MB. PostgreSQL
        # would then keep pages instead of rows, and compare all rows of these pages.
        "work_mem": "16MB",
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
    url_options = make_url(settings.database_url).query.get("options", "")
    our_options = " ".join(
        f"-c {name}={value}" for name, value in _session_settings(settings).items()
    )
    if not settings.row_security:
        # Policies that stay after the setting was turned off would hide all rows.
        our_options += f" {row_owner.ALL_OWNERS_OPTION}"
    connect_args = connect | {"options": f"{our_options} {url_options}".strip()}
    return options | {"connect_args": connect_args}
