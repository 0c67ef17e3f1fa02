"""The database object, its column types and its transactions; no models, no HTTP.

Whoever starts the work opens the transaction: `in_transaction(work, ...)`, which
is tried again when the database asks for that, or `with transaction():`. Work that
needs no ORM costs less in `in_core_transaction`. Work that only reads goes through
`reading(work, ...)`, which is tried again too. What needs no transaction is done before
it begins: see `prepared_first`.
"""

import random
import select
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
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
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from chatstore import sqlite
from chatstore.clock import Deadline, format_instant
from chatstore.db_errors import (
    db_error_text,
    is_lock_timeout,
    is_stale_statement,
    is_transient,
)
from chatstore.errors import OutcomeUnknown, SettingsError
from chatstore.settings import Settings
from chatstore.turns import Turns

P = ParamSpec("P")
T = TypeVar("T")

MAX_RETRIES = 3
_WRITES = {"sqlite_begin": "IMMEDIATE"}
_FIRST_PAUSE_SECONDS = 0.01
# PostgreSQL waits for a lock this long; then the connection goes back to the pool, and
# the transaction begins again. A little longer than its usual `deadlock_timeout`.
_MOST_LOCK_SECONDS = 1.25
# Two writers of one session: one at work, and one that waits for it in the database.
_WRITERS_OF_ONE = 2
_PENDING = (
    "There are changes that are not committed, and this transaction would commit them:"
    " call db.session.commit() or db.session.rollback() first."
)
# Among what a session of the ORM knows: whether it may have written something.
_HAS_WRITTEN = "may_have_written"
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
    app.extensions["chatstore-wait-seconds"] = settings.lock_timeout_seconds
    few = max(1, settings.threads // 4)
    app.extensions["chatstore-searches"] = Turns(width=few, wanted_by="searches")
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
    app.extensions["chatstore-lock-seconds"] = settings.lock_timeout_seconds
    with app.app_context():
        sqlite.prepare_engine(
            db.engine,
            writer_lock=lock,
            busy_timeout_ms=settings.lock_timeout_seconds * 1000,
            connect_timeout_seconds=settings.pool_timeout_seconds,
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
    app.extensions["chatstore-lock-seconds"] = _lock_seconds(settings)
    app.extensions["chatstore-turns"] = Turns(width=_WRITERS_OF_ONE)
    # Whoever waits for a lock holds a connection: most of them are for the others.
    app.extensions["chatstore-blocked"] = Turns(width=max(1, settings.threads // 4))
    event.listen(engine, "handle_error", _hide_values)
    event.listen(engine, "handle_error", _replace_connections_of_stale_statements)
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

    event.listen(engine, "begin", _bound_lock_waits)


def _bound_lock_waits(connection: Connection) -> None:
    seconds = connection.get_execution_options().get("lock_seconds")
    if seconds is not None:
        milliseconds = max(int(seconds * 1000), 1)  # 0 would be no bound
        connection.exec_driver_sql(
            f"SELECT set_config('lock_timeout', '{milliseconds}', true)"
        )


def _lock_seconds(settings: Settings) -> float:
    """Return how long PostgreSQL may wait for a lock at a time.

    It is less than others wait for the connection that is kept meanwhile.
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
        "lock_timeout": f"{int(_lock_seconds(settings) * 1000)}ms",
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


def _replace_connections_of_stale_statements(context: ExceptionContext) -> None:
    # psycopg would run the same prepared statement again and again. A new connection
    # has prepared none, so we count this one as lost, and the retries do the rest. All
    # others in the pool are replaced too: a migration makes theirs stale as well.
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
        # Each transaction may come to another server process: nothing may be kept
        # there, neither prepared statements nor what a connection starts with.
        return options | {"connect_args": connect | {"prepare_threshold": None}}
    given = make_url(settings.database_url).query.get("options", "")
    ours = " ".join(
        f"-c {name}={value}" for name, value in _session_settings(settings).items()
    )
    connect_args = connect | {"options": f"{ours} {given}".strip()}
    return options | {"connect_args": connect_args}


def new_deadline() -> Deadline:
    """Return when a wait for locks that begins now must end."""
    return Deadline(current_app.extensions["chatstore-wait-seconds"])


@contextmanager
def transaction(
    isolation_level: str | None = None, *, deadline: Deadline | None = None
) -> Iterator[None]:
    """Commit what the block did, or nothing of it; a nested one joins the outermost.

    On SQLite the block waits its turn and then holds the write lock, so that what
    it reads is what it changes; `isolation_level` is for PostgreSQL, its own default
    if none is given. With a `deadline` PostgreSQL waits for a lock only for a moment,
    for a caller that begins again. Raises OutcomeUnknown when the connection is lost
    while committing, RuntimeError when there are changes that are not committed.
    """
    session = db.session()
    if _core_connection() or session.info.get("in_transaction"):
        yield
        return
    lock = current_app.extensions.get("chatstore-writer-lock")
    _end_reading(session)
    waits = deadline or new_deadline()
    with lock.held(waits) if lock else nullcontext():
        session.info["in_transaction"] = True
        try:
            options = _WRITES | _lock_options(waits, is_whole=deadline is None)
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
            session.info.pop(_HAS_WRITTEN, None)


@contextmanager
def core_transaction(
    isolation_level: str | None = None, *, deadline: Deadline | None = None
) -> Iterator[None]:
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
    waits = deadline or new_deadline()
    with lock.held(waits) if lock else nullcontext(), writing.connect() as connection:
        options = _lock_options(waits, is_whole=deadline is None)
        if isolation_level is not None and lock is None:
            options["isolation_level"] = isolation_level
        if options:
            connection.execution_options(**options)
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


def _lock_options(deadline: Deadline, *, is_whole: bool) -> dict[str, Any]:
    """Return what tells a connection how long to wait for locks, if not as usual."""
    usual: float = current_app.extensions["chatstore-lock-seconds"]
    left = deadline.remaining_seconds()
    seconds = left if is_whole else min(left, usual)
    return {} if abs(seconds - usual) < 0.1 else {"lock_seconds": seconds}


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
    if session.new or session.dirty or session.deleted:
        raise RuntimeError(_PENDING)
    if not session.in_transaction():
        return  # nothing was read, as before most writes
    try:
        if session.info.pop(_HAS_WRITTEN, False) and _has_written(session):
            session.info[_HAS_WRITTEN] = True
            raise RuntimeError(_PENDING)
        session.commit()
    except (DBAPIError, PendingRollbackError):
        session.rollback()  # its connection is lost, and with it the transaction
    session.expire_all()  # what is read from now on is what there is now


@event.listens_for(db.session, "after_flush")
def _note_flush(session: Session, _: object) -> None:
    session.info[_HAS_WRITTEN] = True


@event.listens_for(db.session, "do_orm_execute")
def _note_statement(state: ORMExecuteState) -> None:
    if not state.is_select:
        state.session.info[_HAS_WRITTEN] = True


def _has_written(session: Session) -> bool:
    # A statement may be a text that only reads: the database knows.
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        return bool(driver.total_changes != connection.info.get("changes_before"))
    query = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL"
    return bool(connection.exec_driver_sql(query).scalar())


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


def prepared_first(prepare: Callable[P, Callable[[], T]]) -> Callable[P, T]:
    """Decorate a function that returns its part for the transaction.

    Called by itself the function does both parts. `in_transaction` and the like run it
    before they wait for a lock, and once: only what it returns is tried again.
    """

    @wraps(prepare)
    def work(*arguments: P.args, **keywords: P.kwargs) -> T:
        return prepare(*arguments, **keywords)()

    work.prepare = prepare  # type: ignore[attr-defined]
    return work


def prepared(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> Callable[[], T]:
    """Return the part of `work(...)` for the transaction; the other one is done."""
    prepare: Callable[P, Callable[[], T]] | None = getattr(work, "prepare", None)
    if prepare is None:
        return partial(work, *arguments, **keywords)
    return prepare(*arguments, **keywords)


def in_transaction(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    """Return `work(...)`, run in one transaction, again if the database asks for it.

    At most three more times, for lost locks, serialization failures, deadlocks, a
    number that another process took first, and a connection lost before the commit;
    `work` must have no other effect.
    """
    return run_transaction(prepared(work, *arguments, **keywords))


def in_core_transaction(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    """Return as `in_transaction` does, for work as `core_transaction` takes it."""
    return run_transaction(prepared(work, *arguments, **keywords), is_core=True)


def run_transaction(
    work: Callable[[], T],
    *,
    is_core: bool = False,
    turn: Hashable = None,
    deadline: Deadline | None = None,
) -> T:
    """Return `work()`, run as `in_transaction` does; all waits end by the `deadline`.

    `turn` names what is written to. On PostgreSQL two threads of a process at a time
    write to one thing, and the others wait without a connection: a row that somebody
    has locked must not cost the connections of those that write elsewhere.
    """
    if is_in_transaction():
        return work()
    deadline = deadline or new_deadline()
    opened = core_transaction if is_core else transaction

    def attempt(number: int) -> T:
        # Where a stricter level has refused so often, the last attempt waits for its
        # row as PostgreSQL does by default; `work` is written for that.
        level = "READ COMMITTED" if number > MAX_RETRIES else None
        with opened(level, deadline=deadline):
            return work()

    turns: Turns | None = current_app.extensions.get("chatstore-turns")
    is_queued = turns is not None and turn is not None
    with turns.taken(turn, deadline) if turns and is_queued else nullcontext():
        return _with_retries(attempt, deadline, event="transaction retried")


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

    return _with_retries(attempt, new_deadline(), event="read retried")


def searching() -> AbstractContextManager[None]:
    """Wait, without a connection, until few others of the process search.

    A search can take seconds, and must leave connections for all else.
    """
    searches: Turns = current_app.extensions["chatstore-searches"]
    return searches.taken("connections", new_deadline())


def _with_retries(attempt: Callable[[int], T], deadline: Deadline, *, event: str) -> T:
    number, is_blocked = 1, False
    while True:
        try:
            with _among_the_blocked(deadline) if is_blocked else nullcontext():
                return attempt(number)
        except DBAPIError as error:
            if deadline.is_over:
                raise
            if is_lock_timeout(error):
                if not is_blocked:
                    log.info("waiting for a lock", cause=db_error_text(error))
                is_blocked = True
            elif number > MAX_RETRIES or not is_transient(error):
                raise
            else:
                log.warning(event, attempt=number, cause=db_error_text(error))
                number += 1
        pause = _FIRST_PAUSE_SECONDS * 2**number * random.random()  # nosec B311
        time.sleep(min(pause, deadline.remaining_seconds()))


def _among_the_blocked(deadline: Deadline) -> AbstractContextManager[None]:
    """Wait, without a connection, until few others wait for a lock with one."""
    blocked: Turns = current_app.extensions["chatstore-blocked"]
    return blocked.taken("connections", deadline)
