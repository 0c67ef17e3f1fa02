"""Transactions and reads, and the retries of both.

`run_write(work, ...)` opens a transaction and runs the work again if the database asks
for that; `with transaction():` does not retry. Work without the ORM costs less in
`run_core_write`. `run_read(work, ...)` runs and retries work that only reads. Work that
needs no transaction is done before it begins: see `prepared_first`.
"""

import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import structlog
from flask import current_app
from sqlalchemy import Connection, Engine, Transaction, event
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.orm import ORMExecuteState, Session

from chatstore.clock import Deadline
from chatstore.db.engine import WRITES, db, is_sqlite
from chatstore.db.errors import db_error_text, is_lock_timeout, is_transient
from chatstore.db.turns import Turns
from chatstore.errors import OutcomeUnknown

P = ParamSpec("P")
T = TypeVar("T")
MAX_RETRIES = 3
_FIRST_PAUSE_SECONDS = 0.01
_PENDING = (
    "There are changes that are not committed, and this transaction would commit them:"
    " call db.session.commit() or db.session.rollback() first."
)
# Among what a session of the ORM knows: whether it may have written something.
_HAS_WRITTEN = "may_have_written"
# Has, in each thread, the connection of a transaction that is not the ORM's.
_core = threading.local()

log = structlog.get_logger(__name__)


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
            options = WRITES | _lock_options(waits, is_whole=deadline is None)
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
                raise RuntimeError("What needs the ORM goes through run_write.")
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
        # SQLAlchemy's begin and rollback take 60 µs of the 300 of a request that reads
        # a session from PostgreSQL, even where no BEGIN is sent.
        if connection.get_execution_options().get("begins_reads"):
            connection.begin()
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
                "The database went away while it was committing: the change may or may"
                " not have been made."
            ) from error
        raise


def prepared_first(prepare: Callable[P, Callable[[], T]]) -> Callable[P, T]:
    """Decorate a function that returns its part for the transaction.

    Called by itself the function does both parts. `run_write` and the like run it
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


def run_write(work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return `work(...)`, run in one transaction, again if the database asks for it.

    At most three more times, for lost locks, serialization failures, deadlocks, a
    number that another process took first, and a connection lost before the commit;
    `work` must have no other effect.
    """
    return run_transaction(prepared(work, *arguments, **keywords))


def run_core_write(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    """Return as `run_write` does, for work as `core_transaction` takes it."""
    return run_transaction(prepared(work, *arguments, **keywords), is_core=True)


def run_transaction(
    work: Callable[[], T],
    *,
    is_core: bool = False,
    turn: Hashable = None,
    deadline: Deadline | None = None,
) -> T:
    """Return `work()`, run as `run_write` does; all waits end by the `deadline`.

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


def run_read(work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return `work(...)`, which only reads, run again as `run_write` does.

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
