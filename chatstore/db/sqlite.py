"""Sets up SQLite: the driver, the pragmas, the BEGIN and the lock of the writers.

Must not know the models. The choices are measured. With a deferred BEGIN, contended
writers fail whatever the busy timeout. Writers that poll SQLite's own lock wait fifty
times longer at the 99th percentile than writers in a queue.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, event, text

from chatstore.clock import Deadline
from chatstore.db.prepared import Prepared
from chatstore.errors import DatabaseUnavailable

# The first release without the WAL-reset bug (https://sqlite.org/wal.html).
FIRST_SAFE_VERSION = (3, 51, 3)
# The first release that can delete from a search index that keeps no text. It is also
# the first that returns the size of a text without reading the text.
FIRST_CONTENTLESS_VERSION = _FIRST_WITH_SIZES = (3, 43, 0)
# The first release that takes ORDER BY in an aggregate.
_FIRST_WITH_ORDER = (3, 44, 0)
# SQLite's virtual machine checks the deadline once in this many instructions.
_STEPS_PER_CHECK = 50_000
_CHECKPOINT_MS = 200
_NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "gpfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "smb3", "smbfs", "glusterfs", "fuse.glusterfs"}
    | {"fuse.davfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)
_BEGIN = {mode: Prepared(text(f"BEGIN {mode}")) for mode in ("DEFERRED", "IMMEDIATE")}


def driver() -> ModuleType:
    """Return the DBAPI module: pysqlite3 where it is installed and newer."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3
    newer = dbapi2.sqlite_version_info > sqlite3.sqlite_version_info
    return dbapi2 if newer else sqlite3


def has_cheap_text_sizes() -> bool:
    """Whether asking for the size of a text costs less than reading it."""
    version: tuple[int, ...] = driver().sqlite_version_info
    return version >= _FIRST_WITH_SIZES


def can_order_aggregates() -> bool:
    """Whether this release of SQLite takes ORDER BY inside an aggregate."""
    version: tuple[int, ...] = driver().sqlite_version_info
    return version >= _FIRST_WITH_ORDER


def _octet_length(text: str | None) -> int | None:
    return None if text is None else len(text.encode())


class WriterLock:
    """Lets one writer at a time work, among the threads and processes of a machine.

    The kernel's file lock queues its waiters and is released when its holder is killed.
    The lock is reentrant, because its holder may open a new connection.
    """

    def __init__(self, database: Path, *, timeout_seconds: float) -> None:
        self._path = database.with_name(f"{database.name}-writer")
        self._timeout_seconds = timeout_seconds
        self._threads = threading.RLock()
        self._depth = 0

    @contextmanager
    def held(self, deadline: Deadline | None = None) -> Iterator[None]:
        """Hold the lock; raises DatabaseUnavailable if it is not free by the deadline.

        Without a deadline the wait lasts at most `timeout_seconds`.
        """
        deadline = deadline or Deadline(self._timeout_seconds)
        if not self._threads.acquire(timeout=deadline.remaining_seconds()):
            raise DatabaseUnavailable("Too many writers are waiting for the database.")
        self._depth += 1
        try:
            with nullcontext() if self._depth > 1 else self._locked_file(deadline):
                yield
        finally:
            self._depth -= 1
            self._threads.release()

    @contextmanager
    def _locked_file(self, deadline: Deadline) -> Iterator[None]:
        try:
            lock_file = os.open(self._path, os.O_RDWR | os.O_CREAT, mode=0o600)
        except OSError as error:
            raise DatabaseUnavailable("The database file is not writable.") from error
        try:
            self._wait_for(lock_file, deadline)
            yield
        finally:
            os.close(lock_file)

    def _wait_for(self, lock_file: int, deadline: Deadline) -> None:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        # flock(2) has no timeout, so another thread calls it. If we give up, the thread
        # still gets the lock, and releases it by closing the last file descriptor.
        is_locked = threading.Event()
        waiter = threading.Thread(
            target=_lock_and_close, args=(os.dup(lock_file), is_locked), daemon=True
        )
        waiter.start()
        if not is_locked.wait(deadline.remaining_seconds()):
            raise DatabaseUnavailable(
                "Another process holds the write lock for too long."
            )


def _lock_and_close(lock_file: int, is_locked: threading.Event) -> None:
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        is_locked.set()
    finally:
        os.close(lock_file)


def prepare_engine(
    engine: Engine,
    *,
    writer_lock: WriterLock,
    busy_timeout_ms: int,
    connect_timeout_seconds: int,
    statement_timeout_seconds: int,
    functions: dict[str, Callable[..., Any]],
    sets_journal_mode: bool = True,
) -> None:
    """Give every connection of `engine` our pragmas, functions and BEGIN.

    Three execution options of a connection change its behaviour:

    - `sqlite_begin`: IMMEDIATE takes SQLite's write lock when the transaction begins;
      None sends no BEGIN.
    - `lock_seconds`: how long to wait for that lock, instead of `busy_timeout_ms`.
    - `unbounded`: if true, statements have no timeout.

    With `statement_timeout_seconds` 0 no statement has one. Without
    `sets_journal_mode` the file, which may not be our database, stays as it is.
    """

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not BEGIN by itself
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")
        mode = connection.execute("PRAGMA journal_mode").fetchone()
        if sets_journal_mode and mode != ("wal",):
            # This pragma ignores the busy timeout, so we take the writer lock first.
            with writer_lock.held(Deadline(connect_timeout_seconds)):
                connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Deleted text would stay in the free space of the file.
        connection.execute("PRAGMA secure_delete = ON")
        for name, function in functions.items():
            connection.create_function(name, -1, function, deterministic=True)
        if not has_cheap_text_sizes():
            connection.create_function("octet_length", 1, _octet_length)
        if statement_timeout_seconds:
            connection.set_progress_handler(
                lambda: time.monotonic() > record.info.get("deadline", float("inf")),
                _STEPS_PER_CHECK,
            )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        mode = options.get("sqlite_begin", "DEFERRED")
        if mode is None:
            return
        if "lock_seconds" in options:
            _set_busy_timeout(connection.connection, options["lock_seconds"] * 1000)
            connection.info["has_short_timeout"] = True
        driver_connection: Any = connection.connection.driver_connection
        connection.info["changes_before"] = driver_connection.total_changes
        _BEGIN[mode].run(connection, [{}])

    @event.listens_for(engine, "checkin")
    def _checkin(connection: Any, record: Any) -> None:
        if record.info.pop("has_short_timeout", False) and connection is not None:
            _set_busy_timeout(connection, busy_timeout_ms)

    if statement_timeout_seconds:

        @event.listens_for(engine, "before_cursor_execute")
        def _set_deadline(connection: Connection, *_: Any) -> None:
            is_bounded = not connection.get_execution_options().get("unbounded")
            seconds = statement_timeout_seconds if is_bounded else float("inf")
            connection.info["deadline"] = time.monotonic() + seconds


def _set_busy_timeout(connection: Any, milliseconds: float) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {max(int(milliseconds), 1)}")


def truncate_log(connection: Connection) -> None:
    """Move the write-ahead log into the database and cut it off, unless it is in use.

    The caller holds the writer lock. `connection` must have no transaction.
    """
    # SQLite would hold its own write lock until all readers have ended.
    _set_busy_timeout(connection.connection, _CHECKPOINT_MS)
    connection.info["has_short_timeout"] = True
    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()


def network_file_system(path: Path, *, mounts: str | None = None) -> str | None:
    """Return the type of network file system that `path` lies on, or None.

    SQLite's locks do not hold across machines. `mounts` has the format of /proc/mounts
    (proc(5)), which is the default.
    """
    if mounts is None:
        table = Path("/proc/mounts")
        mounts = table.read_text() if table.exists() else ""
    best, kind = "", None
    for line in mounts.splitlines():
        _, mount_point, file_system, *_ = line.split()
        mount_point = mount_point.replace("\\040", " ")
        if path.resolve().is_relative_to(mount_point) and len(mount_point) >= len(best):
            best, kind = mount_point, file_system
    return kind if kind in _NETWORK_FILE_SYSTEMS else None
