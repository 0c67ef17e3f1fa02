"""Writes a verified copy of the whole database to one file, and restores it.

The file is a database on SQLite and a dump of pg_dump on PostgreSQL. This module knows
neither HTTP nor the terminal.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from flask import current_app
from sqlalchemy.exc import DBAPIError

from chatstore.db import database_state, db
from chatstore.db.revisions import current_revision
from chatstore.errors import BackupError
from chatstore.services.backup import whole_database
from chatstore.services.backup.integrity import (
    Contents,
    check_contents,
    pluralize,
    require_known_revision,
    sqlite_file_as_database,
)
from chatstore.services.backup.postgres_tools import PostgresTools
from chatstore.services.changes import renew_feed
from chatstore.settings import Settings
from chatstore.store import database_info
from chatstore.store.verify.index import Progress

_SQLITE_MAGIC = b"SQLite format 3\0"
_PG_DUMP_MAGIC = b"PGDMP"
# Suffixes of the database file and of the files that accompany it.
_DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal", "-writer")
_MIB = 1024**2
_MAX_WAIT_SECONDS = 1


def write_backup(
    file: Path, *, is_replacing: bool = False, progress: Progress
) -> Contents:
    """Write a verified copy of the database to `file`; on error, leave `file` alone.

    The copy is a snapshot, and writers go on meanwhile. Until it is complete, its name
    contains `.partial-`. An existing `file` is replaced only if `is_replacing`; the
    target of a symbolic link is replaced, not the link. Calls `progress` with a text
    for each step. Raises BackupError.
    """
    if is_replacing:
        file = Path(os.path.realpath(file))
    _refuse_target(file, is_replacing=is_replacing)
    partial = file.with_name(f"{file.name}.partial-{token_hex(4)}")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600))
        copy = _copy_sqlite if _sqlite_path() else _dump_postgresql
        contents = copy(partial, progress)
        _fsync(partial)
        _rename_to_target(partial, file, is_replacing=is_replacing)
        _fsync(file.parent)
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror}.") from error
    except DBAPIError as error:
        raise BackupError(f"The database cannot be read: {error.orig}.") from error
    finally:
        for left in (partial, partial.with_name(f"{partial.name}-journal")):
            with suppress(OSError):
                left.unlink()
    return contents


def restore_backup(
    file: Path, *, is_replacing: bool = False, progress: Progress
) -> Contents:
    """Replace the database by the verified backup `file`, all of it or nothing.

    A database with data is replaced only if `is_replacing`, and never while another
    connection is open. The schema keeps the revision of the backup.
    Raises BackupError.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(16)
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror}.") from error
    wanted = "SQLite" if _sqlite_path() else "PostgreSQL"
    if start == _SQLITE_MAGIC:
        kind = "SQLite"
    elif start.startswith(_PG_DUMP_MAGIC):
        kind = "PostgreSQL"
    else:
        raise BackupError(f"{file} is not a backup of chatstore.")
    if kind != wanted:
        raise BackupError(
            f"{file} is a backup of {kind}, but CHATSTORE_DATABASE_URL names {wanted}."
        )
    restore = _restore_sqlite if kind == "SQLite" else _restore_postgresql
    restore(file, is_replacing, progress)
    progress("starting a new change feed")
    renew_feed()
    return check_contents("The restored database", progress)


def _copy_sqlite(partial: Path, progress: Progress) -> Contents:
    database = _sqlite_path()
    assert database is not None
    require_known_revision(current_revision(), database="The database")
    db.session.remove()
    size = database.stat().st_size // _MIB

    def on_progress() -> None:
        progress(f"copied {partial.stat().st_size // _MIB} of about {size} MiB")

    whole_database.copy_sqlite(database, partial, on_progress=on_progress)
    with sqlite_file_as_database(partial):
        return check_contents("The copy", progress)


def _restore_sqlite(file: Path, is_replacing: bool, progress: Progress) -> None:
    database = _sqlite_path()
    assert database is not None
    if database.exists() and database.samefile(file):
        raise BackupError(f"{file} is the database itself.")
    _refuse_cut_off(file)
    with sqlite_file_as_database(file):
        check_contents(str(file), progress)

    def on_progress(status: int, left: int, total: int) -> None:
        progress(f"restored {100 * (total - left) // max(total, 1)} %")

    lock = database_state().writer_lock
    assert lock is not None
    with lock.held():
        if not is_replacing:
            _refuse_nonempty_database()
        db.session.remove()
        db.engine.dispose()
        whole_database.replace_sqlite(database, file, on_progress=on_progress)


def _refuse_cut_off(file: Path) -> None:
    # SQLite reads zeros where the last page is cut off, so we compare the sizes. The
    # layout is at https://sqlite.org/fileformat2.html.
    with file.open("rb") as opened:
        header = opened.read(32)
    page_size = int.from_bytes(header[16:18])
    pages = int.from_bytes(header[28:32])
    if file.stat().st_size < pages * (65536 if page_size == 1 else page_size):
        raise BackupError(f"{file} is incomplete: its end is missing.")


def _dump_postgresql(partial: Path, progress: Progress) -> Contents:
    tools = _postgres_tools()
    # pg_dump and our checks share this snapshot, so both see the same data.
    snapshot = whole_database.hold_snapshot()
    require_known_revision(current_revision(), database="The database")

    def on_progress() -> None:
        progress(f"dumped {partial.stat().st_size // _MIB} MiB")

    settings: Settings = current_app.config["CHATSTORE"]
    tools.dump(
        partial,
        snapshot=snapshot,
        lock_seconds=settings.lock_timeout_seconds,
        on_progress=on_progress,
    )
    contents = check_contents("The database", progress)
    db.session.remove()
    tools.check_dump(partial, on_progress=lambda: progress("reading the dump"))
    return contents


def _restore_postgresql(file: Path, is_replacing: bool, progress: Progress) -> None:
    tools = _postgres_tools()
    tools.check_dump(file, on_progress=lambda: progress("reading the dump"))
    version_text = tools.read_table(file, "alembic_version").partition("\t")[0].strip()
    revision = require_known_revision(version_text, database=str(file))
    current = current_revision()
    if current not in (None, revision):
        raise BackupError(
            f"The database is at revision {current}, but {file} is at {revision}."
            " Restore it into a new, empty database."
        )
    if not is_replacing:
        _refuse_nonempty_database()
    _refuse_other_clients()
    db.session.remove()
    db.engine.dispose()
    tools.restore(file, on_progress=lambda: progress("restoring"))


def _postgres_tools() -> PostgresTools:
    return PostgresTools(
        db.engine.url, server_version=database_info.get_postgresql_version()
    )


def _refuse_target(file: Path, *, is_replacing: bool) -> None:
    database = _sqlite_path()
    if database is not None:
        paths = (database.parent.resolve() / database.name, database.resolve())
        ours = {f"{path}{suffix}" for path in paths for suffix in _DATABASE_SUFFIXES}
        if str(file.parent.resolve() / file.name) in ours:
            raise BackupError(f"{file} is a file of the database. Choose another name.")
    if not os.path.lexists(file):
        return
    if not is_replacing:
        raise BackupError(f"{file} already exists. Use --force to replace it.")
    if not file.is_file():
        raise BackupError(f"{file} is not a regular file.")


def _rename_to_target(partial: Path, file: Path, *, is_replacing: bool) -> None:
    if not is_replacing:
        with suppress(OSError):
            os.link(partial, file)  # fails if another file came meanwhile
            return
    # The file exists, or the file system has no hard links.
    _refuse_target(file, is_replacing=is_replacing)
    partial.replace(file)


def _refuse_nonempty_database() -> None:
    try:
        has_rows = database_info.has_rows()
    except DBAPIError as error:
        raise BackupError(f"The database cannot be read: {error.orig}.") from error
    if has_rows:
        raise BackupError("The database is not empty. Use --force to replace its data.")


def _refuse_other_clients() -> None:
    deadline = time.monotonic() + _MAX_WAIT_SECONDS
    while others := database_info.count_other_clients():
        if time.monotonic() > deadline:
            raise BackupError(
                f"The database is in use by {pluralize(others, 'other connection')}."
                " Stop the servers and all other clients first (see pg_stat_activity)."
            )
        time.sleep(0.05)


def _sqlite_path() -> Path | None:
    settings: Settings = current_app.config["CHATSTORE"]
    return settings.sqlite_path


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
