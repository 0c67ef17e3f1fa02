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

from chatstore.db import db
from chatstore.db.revisions import current_revision
from chatstore.errors import BackupError
from chatstore.services.backup import whole_database
from chatstore.services.backup.integrity import (
    Contents,
    Progress,
    check_contents,
    counted,
    known_revision,
    looking_into,
)
from chatstore.services.backup.postgres_tools import Tools
from chatstore.settings import Settings

_SQLITE_MAGIC = b"SQLite format 3\0"
_PG_DUMP_MAGIC = b"PGDMP"
# Suffixes of the database file and of the files that accompany it.
_OUR_ENDINGS = ("", "-wal", "-shm", "-journal", "-writer")
_MIB = 1024**2
_PATIENCE_SECONDS = 1


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
    part = file.with_name(f"{file.name}.partial-{token_hex(4)}")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600))
        copy = _copy_sqlite if _sqlite_path() else _dump_postgresql
        contents = copy(part, progress)
        _flush(part)
        _give_name(part, file, is_replacing=is_replacing)
        _flush(file.parent)
    except OSError as error:
        raise BackupError(f"{file} cannot be written: {error.strerror}.") from error
    except DBAPIError as error:
        raise BackupError(f"The database cannot be read: {error.orig}.") from error
    finally:
        for left in (part, part.with_name(f"{part.name}-journal")):
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
    return check_contents("The restored database", progress)


def _copy_sqlite(part: Path, progress: Progress) -> Contents:
    database = _sqlite_path()
    assert database is not None
    known_revision(current_revision(), of="The database")
    db.session.remove()
    size = database.stat().st_size // _MIB

    def on_progress() -> None:
        progress(f"copied {part.stat().st_size // _MIB} of about {size} MiB")

    whole_database.copy_sqlite(database, part, on_progress=on_progress)
    with looking_into(part):
        return check_contents("The copy", progress)


def _restore_sqlite(file: Path, is_replacing: bool, progress: Progress) -> None:
    database = _sqlite_path()
    assert database is not None
    if database.exists() and database.samefile(file):
        raise BackupError(f"{file} is the database itself.")
    _refuse_cut_off(file)
    with looking_into(file):
        check_contents(str(file), progress)

    def on_progress(status: int, left: int, total: int) -> None:
        progress(f"restored {100 * (total - left) // max(total, 1)} %")

    lock = current_app.extensions["chatstore-writer-lock"]
    with lock.held():
        if not is_replacing:
            _refuse_rows()
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


def _dump_postgresql(part: Path, progress: Progress) -> Contents:
    tools = _tools()
    # pg_dump and our checks share this snapshot, so both see the same data.
    snapshot = whole_database.hold_snapshot()
    known_revision(current_revision(), of="The database")

    def on_progress() -> None:
        progress(f"dumped {part.stat().st_size // _MIB} MiB")

    settings: Settings = current_app.config["CHATSTORE"]
    tools.dump(
        part,
        snapshot=snapshot,
        lock_seconds=settings.lock_timeout_seconds,
        on_progress=on_progress,
    )
    contents = check_contents("The database", progress)
    db.session.remove()
    tools.check(part, on_progress=lambda: progress("reading the dump"))
    return contents


def _restore_postgresql(file: Path, is_replacing: bool, progress: Progress) -> None:
    tools = _tools()
    tools.check(file, on_progress=lambda: progress("reading the dump"))
    noted = tools.read_table(file, "alembic_version").partition("\t")[0].strip()
    revision = known_revision(noted, of=str(file))
    there = current_revision()
    if there not in (None, revision):
        raise BackupError(
            f"The database is at revision {there}, but {file} is at {revision}. Restore"
            " it into a new, empty database."
        )
    if not is_replacing:
        _refuse_rows()
    _refuse_other_clients()
    db.session.remove()
    db.engine.dispose()
    tools.restore(file, on_progress=lambda: progress("restoring"))


def _tools() -> Tools:
    return Tools(db.engine.url, server_version=whole_database.postgresql_version())


def _refuse_target(file: Path, *, is_replacing: bool) -> None:
    database = _sqlite_path()
    if database is not None:
        places = (database.parent.resolve() / database.name, database.resolve())
        ours = {f"{place}{ending}" for place in places for ending in _OUR_ENDINGS}
        if str(file.parent.resolve() / file.name) in ours:
            raise BackupError(f"{file} is a file of the database. Choose another name.")
    if not os.path.lexists(file):
        return
    if not is_replacing:
        raise BackupError(f"{file} already exists. Use --force to replace it.")
    if not file.is_file():
        raise BackupError(f"{file} is not a regular file.")


def _give_name(part: Path, file: Path, *, is_replacing: bool) -> None:
    if not is_replacing:
        with suppress(OSError):
            os.link(part, file)  # fails if another file came meanwhile
            return
    # The file exists, or the file system has no hard links.
    _refuse_target(file, is_replacing=is_replacing)
    part.replace(file)


def _refuse_rows() -> None:
    try:
        has_rows = whole_database.has_rows()
    except DBAPIError as error:
        raise BackupError(f"The database cannot be read: {error.orig}.") from error
    if has_rows:
        raise BackupError("The database is not empty. Use --force to replace its data.")


def _refuse_other_clients() -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while others := whole_database.count_other_clients():
        if time.monotonic() > deadline:
            raise BackupError(
                f"The database is in use by {counted(others, 'other connection')}."
                " Stop the servers and all other clients first (see pg_stat_activity)."
            )
        time.sleep(0.05)


def _sqlite_path() -> Path | None:
    settings: Settings = current_app.config["CHATSTORE"]
    return settings.sqlite_path


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
