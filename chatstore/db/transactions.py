"""Runs transactions and reads, and retries both.

`run_write(work, ...)` runs work in a transaction and retries it if the database asks
for that. `with transaction():` does not retry. `run_core_write` costs less, for work
without the ORM. `run_read(work, ...)` runs and retries work that only reads.
`prepared_first` splits off work that can precede the transaction. `db.errors` knows
the errors that a retry can help, and `web.idempotency` repeats a commit whose outcome
is unknown.
"""

import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import structlog
from sqlalchemy import Connection, Transaction, event
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.orm import ORMExecuteState, Session

from chatstore.clock import Deadline
from chatstore.db.engine import WRITE_OPTIONS, database_state, db, is_sqlite
from chatstore.db.errors import db_error_text, is_lock_timeout, is_transient
from chatstore.db.row_owner import set_row_owner
from chatstore.errors import OutcomeUnknown

P = ParamSpec("P")
T = TypeVar("T")
MAX_RETRIES = 3
_FIRST_PAUSE_SECONDS = 0.01
_PENDING_CHANGES = (
    "This transaction would also commit earlier changes that are not committed yet."
    " Call db.session.commit() or db.session.rollback() first."
)
# Key in `Session.info`: whether the session may have written something.
_MAY_HAVE_WRITTEN = "may_have_written"
# Holds each thread's connection while a `core_transaction` is open.
_thread_local = threading.local()

log = structlog.get_logger(__name__)


def new_deadline() -> Deadline:
    """Return the deadline for a wait for locks that begins now."""
    return Deadline(database_state().lock_timeout_seconds)


@contextmanager
def transaction(
    isolation_level: str | None = None, *, deadline: Deadline | None = None
) -> Iterator[None]:
    """Commit all changes of the block, or none; a nested block joins the outermost.

    On SQLite the block holds the write lock, so what it reads cannot change before it
    writes. `isolation_level` applies to PostgreSQL only. With a `deadline` PostgreSQL
    waits only briefly for a lock, so the caller must retry. Raises OutcomeUnknown if
    the connection is lost during the commit, RuntimeError if uncommitted changes exist
    before the block.
    """
    session = db.session()
    if _core_connection() or session.info.get("in_transaction"):
        yield
        return
    lock = database_state().writer_lock
    _end_read_transaction(session)
    until = deadline or new_deadline()
    with lock.held(until) if lock else nullcontext():
        session.info["in_transaction"] = True
        try:
            options = WRITE_OPTIONS | _lock_options(
                until, is_only_attempt=deadline is None
            )
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
            session.info.pop(_MAY_HAVE_WRITTEN, None)


@contextmanager
def core_transaction(
    isolation_level: str | None = None, *, deadline: Deadline | None = None
) -> Iterator[None]:
    """Do as `transaction`, for a block that writes only on `write_connection`.

    An ORM session's bookkeeping takes a quarter of an append. If the block uses an ORM
    session, this raises RuntimeError and commits nothing.
    """
    if is_in_transaction():
        yield
        return
    if db.session.registry.has():
        _end_read_transaction(db.session())
    lock, writers = database_state().writer_lock, database_state().writers
    until = deadline or new_deadline()
    with lock.held(until) if lock else nullcontext(), writers.connect() as connection:
        options = _lock_options(until, is_only_attempt=deadline is None)
        if isolation_level is not None and lock is None:
            options["isolation_level"] = isolation_level
        if options:
            connection.execution_options(**options)
        begun_transaction = connection.begin()
        _thread_local.connection = connection
        try:
            yield
            if _has_orm_transaction():
                raise RuntimeError("Use run_write for a function that needs the ORM.")
            _commit(begun_transaction)
        except BaseException:
            begun_transaction.rollback()
            raise
        finally:
            _thread_local.connection = None


def _lock_options(deadline: Deadline, *, is_only_attempt: bool) -> dict[str, Any]:
    """Return the connection's option `lock_seconds`; empty if the default fits."""
    default = database_state().lock_wait_seconds
    remaining = deadline.remaining_seconds()
    seconds = remaining if is_only_attempt else min(remaining, default)
    return {} if abs(seconds - default) < 0.1 else {"lock_seconds": seconds}


def write_connection() -> Connection:
    """Return the connection of the open transaction."""
    connection = _core_connection()
    return db.session.connection() if connection is None else connection


def _core_connection() -> Connection | None:
    return getattr(_thread_local, "connection", None)


@contextmanager
def read_connection() -> Iterator[Connection]:
    """Yield the connection of the open transaction, or else one for reading.

    The latter sends no BEGIN and ROLLBACK (unless through PgBouncer), which cost more
    than many reads. So each statement has its own snapshot.
    """
    if _core_connection() or _has_orm_transaction():
        yield write_connection()
        return
    with database_state().readers.connect() as connection:
        # SQLAlchemy's begin and rollback take 60 of the 300 µs in which a request reads
        # a session from PostgreSQL, even if no BEGIN is sent. So only PgBouncer's
        # connections begin.
        if connection.get_execution_options().get("begins_reads"):
            connection.begin()
        yield connection


def is_in_transaction() -> bool:
    """Whether the caller runs inside an open transaction of this module."""
    if _core_connection():
        return True
    return _has_orm_transaction() and bool(db.session().info.get("in_transaction"))


def savepoint() -> AbstractContextManager[Any]:
    """Undo only the block, not the transaction around it, if the block fails."""
    return db.session.begin_nested()


def limit_rows_to(owner_id: str) -> None:
    """Show this thread only rows of `owner_id`, where PostgreSQL has row security.

    Raises RuntimeError inside a transaction, whose connection has another owner.
    """
    if is_in_transaction():
        raise RuntimeError("A transaction cannot change the owner of its rows.")
    if db.session.registry.has():
        _end_read_transaction(db.session())
    set_row_owner(owner_id)


def _has_orm_transaction() -> bool:
    # `db.session()` creates a session, so we ask the registry first.
    return db.session.registry.has() and db.session().in_transaction()


def _end_read_transaction(session: Session) -> None:
    # The session may have an old read transaction, in which a write would fail, or a
    # lost connection. So we end that transaction before a write.
    if session.new or session.dirty or session.deleted:
        raise RuntimeError(_PENDING_CHANGES)
    if not session.in_transaction():
        return  # nothing was read, as before most writes
    try:
        if session.info.pop(_MAY_HAVE_WRITTEN, False) and _has_written(session):
            session.info[_MAY_HAVE_WRITTEN] = True
            raise RuntimeError(_PENDING_CHANGES)
        session.commit()
    except (DBAPIError, PendingRollbackError):
        session.rollback()  # the connection is lost, and the transaction with it
    session.expire_all()  # later reads load the current rows


@event.listens_for(db.session, "after_flush")
def _note_flush(session: Session, _: object) -> None:
    session.info[_MAY_HAVE_WRITTEN] = True


@event.listens_for(db.session, "do_orm_execute")
def _note_statement(state: ORMExecuteState) -> None:
    if not state.is_select:
        state.session.info[_MAY_HAVE_WRITTEN] = True


def _has_written(session: Session) -> bool:
    # A textual statement may only read, so we ask the database.
    connection = session.connection()
    if is_sqlite():
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
                "The connection to the database was lost during the commit. The change"
                " may or may not be stored."
            ) from error
        raise


def prepared_first(prepare: Callable[P, Callable[[], T]]) -> Callable[P, T]:
    """Decorate a function that prepares and then returns its part for the transaction.

    A plain call runs both parts. `run_write`, `run_core_write` and the like prepare
    once, before they wait for a lock, and retry only the returned part.
    """

    @wraps(prepare)
    def work(*arguments: P.args, **keywords: P.kwargs) -> T:
        return prepare(*arguments, **keywords)()

    work.prepare = prepare  # type: ignore[attr-defined]
    return work


def prepared(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> Callable[[], T]:
    """Prepare `work(...)`; return its part for the transaction."""
    prepare: Callable[P, Callable[[], T]] | None = getattr(work, "prepare", None)
    if prepare is None:
        return partial(work, *arguments, **keywords)
    return prepare(*arguments, **keywords)


def run_write(work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return `work(...)`, run in one transaction and retried if the database asks.

    Retries at most three times after a busy database, a serialization failure, a
    deadlock, an id or number that another session took meanwhile, or a connection lost
    before the commit. PostgreSQL's lock timeouts are retried until the deadline. `work`
    must have no effect outside the transaction.
    """
    return run_transaction(prepared(work, *arguments, **keywords))


def run_core_write(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    """Return `work(...)` as `run_write` does, run in a `core_transaction`."""
    return run_transaction(prepared(work, *arguments, **keywords), is_core=True)


def run_transaction(
    work: Callable[[], T],
    *,
    is_core: bool = False,
    turn: Hashable = None,
    deadline: Deadline | None = None,
) -> T:
    """Return `work()`, run as `run_write` does; all waits end by the `deadline`.

    `turn` identifies what the work writes to. On PostgreSQL at most two threads of a
    process write under the same `turn`; the others wait without a connection. So one
    locked row cannot take all connections from writers of other rows.
    """
    if is_in_transaction():
        return work()
    deadline = deadline or new_deadline()
    open_transaction = core_transaction if is_core else transaction

    def attempt(number: int) -> T:
        # A stricter level may fail every time, so the last attempt uses PostgreSQL's
        # default level, which waits for a row instead. `work` must allow for that.
        level = "READ COMMITTED" if number > MAX_RETRIES else None
        with open_transaction(level, deadline=deadline):
            return work()

    turns = database_state().session_turns if turn is not None else None
    with turns.taken(turn, deadline) if turns else nullcontext():
        return _with_retries(attempt, deadline, event="transaction retried")


def run_read(work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return `work(...)`, which only reads, retried as in `run_write`.

    A read neither waits for a writer nor blocks one.
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


def search_turn() -> AbstractContextManager[None]:
    """Hold one of the process's places for a search: a quarter of its threads.

    A search can take seconds. Other searches wait for a place without a connection, so
    connections stay free for other requests.
    """
    return database_state().search_turns.taken("connections", new_deadline())


def copy_turn() -> AbstractContextManager[None]:
    """Hold one of the process's places for a copy: a quarter of its threads."""
    return database_state().copy_turns.taken("threads", new_deadline())


def _with_retries(attempt: Callable[[int], T], deadline: Deadline, *, event: str) -> T:
    number, is_blocked = 1, False
    while True:
        try:
            with _take_blocked_turn(deadline) if is_blocked else nullcontext():
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


def _take_blocked_turn(deadline: Deadline) -> AbstractContextManager[None]:
    """Hold one of the process's places for retries that wait for a lock."""
    return database_state().blocked_turns.taken("connections", deadline)
