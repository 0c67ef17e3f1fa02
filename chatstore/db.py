"""The database object, its column types and its transactions; no models, no HTTP.

Whoever starts the work opens the transaction: `in_transaction(work, ...)`, which
is tried again when the database asks for that, or `with transaction():`. Work that
needs no ORM costs less in `in_core_transaction`. Work that only reads goes through
`reading(work, ...)`, which is tried again too.
"""

import itertools
import random
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import orjson
import structlog
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    String,
    Transaction,
    event,
    literal,
)
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InvalidatePoolError,
    PendingRollbackError,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from chatstore import sqlite
from chatstore.clock import format_instant
from chatstore.db_errors import db_error_text, is_transient
from chatstore.errors import OutcomeUnknown, SettingsError
from chatstore.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

MAX_RETRIES = 3
_WRITES = {"sqlite_begin": "IMMEDIATE"}
_FIRST_PAUSE_SECONDS = 0.01
# Has, in each thread, the connection of a transaction that is not the ORM's.
_core = threading.local()

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


# Objects outlive their commit: views serialize what they have just written.
db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant with microseconds, on every database.

    PostgreSQL has a type for it. SQLite would return it naive; there it is the
    text that the API sends (RFC 3339), which sorts by time.
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


class next_instant(FunctionElement[datetime]):
    """SQL for an instant after `last`: `now`, if it is, or `count` microseconds later.

    It is the last of so many instants, a microsecond apart.
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


def _next_instant_in_sqlite(last: str, now: str, count: int) -> str:
    after = datetime.fromisoformat(last) + timedelta(microseconds=count)
    return max(now, format_instant(after))


def init_database(app: Flask, settings: Settings) -> None:
    """Connect `app` to the database that `settings` name; nothing is opened yet.

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
    app.teardown_appcontext(_let_go)
    if settings.sqlite_path is None:
        _prepare_postgresql(app, settings)
    else:
        _prepare_sqlite(app, settings.sqlite_path, settings)
    # A pooler takes our settings with the BEGIN of each transaction, or not at all.
    is_pooled = settings.database_pooler == "pgbouncer"
    options = {} if is_pooled else {"reads_only": True}
    with app.app_context():
        app.extensions["chatstore-reading"] = db.engine.execution_options(**options)
        app.extensions["chatstore-writing"] = db.engine.execution_options(**_WRITES)


def _prepare_sqlite(app: Flask, path: Path, settings: Settings) -> None:
    lock = sqlite.WriterLock(path, timeout_seconds=settings.lock_timeout_seconds)
    app.extensions["chatstore-writer-lock"] = lock
    with app.app_context():
        sqlite.prepare_engine(
            db.engine,
            writer_lock=lock,
            # SQLite waits so long in each of the attempts of a transaction.
            busy_timeout_ms=settings.lock_timeout_seconds * 1000 // (MAX_RETRIES + 1),
            statement_timeout_seconds=settings.statement_timeout_seconds,
            functions={"chatstore_next_instant": _next_instant_in_sqlite},
            sets_journal_mode=app.extensions["chatstore-makes-files"],
        )


def _let_go(error: BaseException | None) -> None:
    # Before Flask-SQLAlchemy does it: if the connection is lost by now, what was read
    # is still good, and is sent.
    try:
        db.session.remove()
    except DBAPIError as lost:
        log.warning("connection lost after reading", cause=db_error_text(lost))


def _prepare_postgresql(app: Flask, settings: Settings) -> None:
    with app.app_context():
        engine = db.engine
    event.listen(engine, "handle_error", _hide_values)
    event.listen(engine, "checkout", _drop_if_closed)
    event.listen(engine, "begin", _leave_autocommit)
    if settings.database_pooler == "pgbouncer":
        settle = ", ".join(
            f"set_config('{name}', '{value}', true)"
            for name, value in _session_settings(settings).items()
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT {settle}")


def _drop_if_closed(connection: Any, record: Any, proxy: Any) -> None:
    if not record.info.get("used"):
        record.info["used"] = True  # a new one is as good as it gets
        return
    # The server has sent something, though nobody asked: its farewell. A ping costs a
    # round trip; whom this does not tell, the retries save.
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError


def _leave_autocommit(connection: Connection) -> None:
    if connection.get_execution_options().get("reads_only"):
        return
    if connection.info.pop("reads_only", False):
        driver: Any = connection.connection.driver_connection
        driver.autocommit = False


def _session_settings(settings: Settings) -> dict[str, str]:
    return {
        "timezone": "UTC",
        "lock_timeout": f"{settings.lock_timeout_seconds}s",
        "statement_timeout": f"{settings.statement_timeout_seconds}s",
        # To start a second process takes 6 ms, where most statements take less than 1.
        "max_parallel_workers_per_gather": "0",
    }


def _hide_values(context: ExceptionContext) -> None:
    # PostgreSQL's details quote the row that it refuses: message text, on its way to
    # a log. Its first sentence does not.
    diagnosis = getattr(context.original_exception, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    if primary and context.sqlalchemy_exception is not None:
        context.original_exception.args = (primary,)
        context.sqlalchemy_exception.args = (primary,)


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
        # Each transaction may come to another server process: nothing may be kept
        # there, neither prepared statements nor what a connection starts with.
        return options | {"connect_args": connect | {"prepare_threshold": None}}
    given = make_url(settings.database_url).query.get("options", "")
    ours = " ".join(
        f"-c {name}={value}" for name, value in _session_settings(settings).items()
    )
    connect_args = connect | {"options": f"{ours} {given}".strip()}
    return options | {"connect_args": connect_args}


@contextmanager
def transaction(isolation_level: str | None = None) -> Iterator[None]:
    """Commit what the block did, or nothing of it; a nested one joins the outermost.

    On SQLite the block waits its turn and then holds the write lock, so that what
    it reads is what it changes; `isolation_level` is for PostgreSQL, its own default
    if none is given. Raises OutcomeUnknown when the connection is lost while
    committing.
    """
    session = db.session()
    if _core_connection() or session.info.get("in_transaction"):
        yield
        return
    lock = current_app.extensions.get("chatstore-writer-lock")
    _end_reading(session)
    with lock.held() if lock else nullcontext():
        session.info["in_transaction"] = True
        try:
            options = dict(_WRITES)
            if isolation_level is not None and lock is None:
                options["isolation_level"] = isolation_level
            session.connection(execution_options=options)
            yield
            session.flush()
            _commit(session)
        except BaseException:
            session.rollback()
            raise
        finally:
            del session.info["in_transaction"]


@contextmanager
def core_transaction(isolation_level: str | None = None) -> Iterator[None]:
    """Do as `transaction`, for a block that writes on `write_connection` only.

    There is no session of the ORM, whose bookkeeping is a quarter of an append. Raises
    RuntimeError, and commits nothing, when the block uses one all the same.
    """
    if is_in_transaction():
        yield
        return
    if db.session.registry.has():
        _end_reading(db.session())
    lock = current_app.extensions.get("chatstore-writer-lock")
    writing: Engine = current_app.extensions["chatstore-writing"]
    with lock.held() if lock else nullcontext(), writing.connect() as connection:
        if isolation_level is not None and lock is None:
            connection.execution_options(isolation_level=isolation_level)
        begun = connection.begin()
        _core.connection = connection
        try:
            yield
            if _is_transacting():
                raise RuntimeError("What needs the ORM goes through in_transaction.")
            _commit(begun)
        except BaseException:
            begun.rollback()
            raise
        finally:
            _core.connection = None


def write_connection() -> Connection:
    """Return the connection of the transaction that is open here."""
    connection = _core_connection()
    return db.session.connection() if connection is None else connection


def _core_connection() -> Connection | None:
    return getattr(_core, "connection", None)


@contextmanager
def read_connection() -> Iterator[Connection]:
    """Yield a connection to read on: that of the transaction, where there is one.

    Otherwise one of its own without BEGIN and ROLLBACK, which cost more than many a
    read: each statement sees what is committed when it begins.
    """
    if _core_connection() or _is_transacting():
        yield write_connection()
        return
    with current_app.extensions["chatstore-reading"].connect() as connection:
        if "reads_only" not in connection.get_execution_options():
            connection.begin()
        elif connection.dialect.name == "postgresql":
            driver: Any = connection.connection.driver_connection
            if not driver.autocommit:
                driver.autocommit = True
                connection.info["reads_only"] = True
        yield connection


def is_in_transaction() -> bool:
    """Whether the work is part of a transaction that is open here."""
    if _core_connection():
        return True
    return _is_transacting() and bool(db.session().info.get("in_transaction"))


def _is_transacting() -> bool:
    # Asking `db.session` itself would make a session.
    return db.session.registry.has() and db.session().in_transaction()


def _end_reading(session: Session) -> None:
    # A read transaction can be too old to be written in, or its connection lost.
    is_reading = not (session.new or session.dirty or session.deleted)
    if is_reading and not session.in_transaction():
        return  # nothing was read, as before most writes
    try:
        session.commit()
    except (DBAPIError, PendingRollbackError):
        if not is_reading:
            raise
        session.rollback()
    session.expire_all()  # what is read from now on is what there is now


def _commit(changes: Session | Transaction) -> None:
    try:
        changes.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise OutcomeUnknown(
                "The database went away while it was committing: the change may or may"
                " not have been made."
            ) from error
        raise


def in_transaction(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    """Return `work(...)`, run in one transaction, again if the database asks for it.

    At most three more times, for lost locks, serialization failures, deadlocks, a
    number that another process took first, and a connection lost before the commit;
    `work` must have no other effect.
    """
    return _in(transaction, partial(work, *arguments, **keywords))


def in_core_transaction(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    """Return as `in_transaction` does, for work as `core_transaction` takes it."""
    return _in(core_transaction, partial(work, *arguments, **keywords))


def _in(
    opened: Callable[[str | None], AbstractContextManager[None]], work: Callable[[], T]
) -> T:
    if is_in_transaction():
        return work()

    def attempt(number: int) -> T:
        # Where a stricter level has refused so often, the last attempt waits for its
        # row as PostgreSQL does by default; `work` is written for that.
        level = "READ COMMITTED" if number > MAX_RETRIES else None
        with opened(level):
            return work()

    return _with_retries(attempt, event="transaction retried")


def reading(work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return `work(...)`, which only reads, run again as `in_transaction` does.

    It waits for no writer and holds none up.
    """
    if is_in_transaction():
        return work(*arguments, **keywords)

    def attempt(number: int) -> T:
        try:
            return work(*arguments, **keywords)
        except DBAPIError:
            if db.session.registry.has():
                db.session.rollback()
            raise

    return _with_retries(attempt, event="read retried")


def _with_retries(attempt: Callable[[int], T], *, event: str) -> T:
    for number in itertools.count(1):
        try:
            return attempt(number)
        except DBAPIError as error:
            if number > MAX_RETRIES or not is_transient(error):
                raise
            log.warning(event, attempt=number, cause=db_error_text(error))
        pause = _FIRST_PAUSE_SECONDS * 2**number
        time.sleep(pause * random.random())  # nosec B311
    raise AssertionError("unreachable")
