"""Copies or replaces a whole database.

The caller chooses the files and decides whether they may be written.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chatstore.db import db, sqlite
from chatstore.errors import BackupError
from chatstore.store import database_info

# SQLite calls our progress handler after this many steps of its virtual machine.
_STEPS_PER_CHECK = 10_000
_PAGES_PER_STEP = 1000
_BUSY_CODES = (5, 6)  # SQLITE_BUSY and SQLITE_LOCKED
# A short command closes its connection within this time, but a server does not.
_MAX_WAIT_SECONDS = 1


def copy_sqlite(
    database: Path, target: Path, *, on_progress: Callable[[], None]
) -> None:
    """Write a snapshot of `database` to the empty file `target`; writers go on.

    Calls `on_progress` repeatedly. SQLite's backup API starts over whenever another
    connection writes, so we use VACUUM INTO. Raises BackupError.
    """
    connection = _connect(database)
    try:
        connection.set_progress_handler(on_progress, _STEPS_PER_CHECK)
        connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite.driver().Error as error:
        raise BackupError(f"The backup failed: {error}.") from error
    finally:
        connection.close()


def replace_sqlite(
    database: Path, source: Path, *, on_progress: Callable[[int, int, int], None]
) -> None:
    """Replace the contents of `database` by those of `source`, in one transaction.

    An old WAL would damage the new pages, so SQLite first checkpoints and removes it.
    That fails while another connection is open. Calls `on_progress` with a status, the
    pages left and all pages. Raises BackupError.
    """
    target, original = _connect(database), _connect(source)
    try:
        # The lock stays until the connection closes, so no other connection gets in.
        target.execute("PRAGMA locking_mode = EXCLUSIVE")
        target.execute("PRAGMA journal_mode = DELETE")
        original.backup(target, pages=_PAGES_PER_STEP, progress=on_progress)
    except sqlite.driver().OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY_CODES:
            raise BackupError(
                f"{database} is in use. Stop the server and close every shell first."
            ) from error
        raise BackupError(f"Nothing was restored: {error}.") from error
    except sqlite.driver().DatabaseError as error:
        raise BackupError(
            f"Nothing was restored, because {database} is damaged ({error}). Move it"
            " away with its -wal and -shm files, then restore into a new file."
        ) from error
    finally:
        original.close()
        target.close()


def hold_snapshot() -> str:
    """Begin a transaction with a snapshot of PostgreSQL; return the snapshot's name.

    Other connections can import the snapshot by its name until the transaction ends.
    """
    db.session.rollback()
    db.session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    return database_info.export_snapshot()


def _connect(path: Path) -> Any:
    # The engine's connections begin transactions and turn WAL on, so we open our own.
    return sqlite.driver().connect(
        path, isolation_level=None, timeout=_MAX_WAIT_SECONDS
    )
