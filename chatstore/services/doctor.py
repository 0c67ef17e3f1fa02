"""Examines the installation for risks of data loss and downtime."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from chatstore.db import sqlite
from chatstore.db.errors import db_error_text
from chatstore.db.revisions import check_revision, head_revision
from chatstore.errors import DatabaseUnavailable, NoRowSecurity, WrongRevision
from chatstore.services.backup.integrity import pluralize
from chatstore.settings import Settings
from chatstore.store import purges, row_security
from chatstore.store.database_info import (
    get_postgresql_setting,
    get_sqlite_pragma,
    is_standby,
)
from chatstore.store.stats import count_trash

OK, WARN, FAIL = "ok", "warn", "FAIL"
LOW_DISK_BYTES = 1024**3
# A server purges each minute.
_MOST_LATE_SECONDS = 3600
# For each setting, the values with which an acknowledged message survives a crash.
_DURABLE_VALUES = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
}


@dataclass(frozen=True)
class Finding:
    """The result of one check: level (OK, WARN or FAIL), name, what was found."""

    level: str
    check: str
    detail: str


def examine(settings: Settings) -> list[Finding]:
    """Return the findings, in the order of the checks."""
    return list(_examine(settings))


def _examine(settings: Settings) -> Iterator[Finding]:
    path = settings.sqlite_path
    if path is not None:
        absence = explain_missing_file(path)
        if absence:
            yield Finding(FAIL, "file", absence)
            return
        yield from examine_file(path)
    try:
        if path is not None:
            yield from _examine_sqlite()
        else:
            yield from _examine_postgresql()
        check_revision()
        yield Finding(OK, "revision", head_revision())
        yield _examine_trash(settings)
        if path is None:
            yield _examine_row_security(settings)
    except WrongRevision as error:
        yield Finding(FAIL, "revision", error.detail)
    except (SQLAlchemyError, DatabaseUnavailable) as error:
        yield Finding(FAIL, "connection", db_error_text(error))


def _examine_trash(settings: Settings) -> Finding:
    overdue = purges.count_due(settings.trash_seconds + _MOST_LATE_SECONDS)
    if overdue:
        sessions = pluralize(overdue, "session")
        detail = f"{sessions} should be gone by now. Does a server run?"
        return Finding(WARN, "trash", detail)
    return Finding(OK, "trash", pluralize(count_trash(), "session"))


def _examine_row_security(settings: Settings) -> Finding:
    name = "row security"
    if settings.row_security:
        try:
            row_security.check_row_security()
        except NoRowSecurity as error:
            return Finding(FAIL, name, error.detail)
        return Finding(OK, name, "on")
    if len(row_security.list_unprotected_tables()) < len(row_security.CONDITIONS):
        detail = "the tables have policies, but CHATSTORE_ROW_SECURITY is 0"
        return Finding(WARN, name, detail)
    return Finding(OK, name, "off")


def explain_missing_file(path: Path) -> str | None:
    """Return a sentence if there is no database file at `path`; create none."""
    try:
        exists = path.exists()
    except OSError as error:  # name too long, no permission
        return f"{path} cannot be examined: {error.strerror}."
    if exists:
        return None
    return (
        f"There is no database at {path}. Check CHATSTORE_DATABASE_URL. To create the"
        " database, run: chatstore migrate"
    )


def examine_file(path: Path, *, mounts: str | None = None) -> Iterator[Finding]:
    """Check the place of the database file; `mounts` as in `network_file_system`."""
    kind = sqlite.network_file_system(path, mounts=mounts)
    if kind:
        detail = f"{kind} is a network file system, where SQLite's locks fail"
        yield Finding(FAIL, "file system", detail)
    else:
        yield Finding(OK, "file system", "local")
    free = shutil.disk_usage(path.parent).free
    level = OK if free >= LOW_DISK_BYTES else WARN
    yield Finding(level, "disk", f"{free / 1024**2:.0f} MiB free")
    places = [path.parent, *(each for each in [path] if each.exists())]
    inaccessible = [
        place for place in places if not os.access(place, os.R_OK | os.W_OK)
    ]
    for place in inaccessible:
        yield Finding(FAIL, "permissions", f"chatstore cannot read and write {place}")
    if path.exists() and path.stat().st_mode & 0o007:
        yield Finding(
            WARN, "permissions", f"other users of this machine can access {path}"
        )
    elif not inaccessible:
        yield Finding(OK, "permissions", f"chatstore can read and write {path}")


def _examine_sqlite() -> Iterator[Finding]:
    driver = sqlite.driver()
    if driver.sqlite_version_info >= sqlite.FIRST_SAFE_VERSION:
        yield Finding(OK, "SQLite", f"{driver.sqlite_version} ({driver.__name__})")
    else:
        safe = ".".join(map(str, sqlite.FIRST_SAFE_VERSION))
        yield Finding(
            WARN,
            "SQLite",
            f"{driver.sqlite_version} can damage a database that several processes"
            f" write to (fixed in {safe}): pip install 'chatstore[sqlite]'",
        )
    for pragma, wanted in (("journal_mode", "wal"), ("synchronous", "2")):
        value = get_sqlite_pragma(pragma)
        yield Finding(OK if value == wanted else FAIL, pragma, value)


def _examine_postgresql() -> Iterator[Finding]:
    yield Finding(OK, "PostgreSQL", get_postgresql_setting("server_version"))
    for name, durable in _DURABLE_VALUES.items():
        value = get_postgresql_setting(name)
        yield Finding(OK if value in durable else FAIL, name, value)
    encoding = get_postgresql_setting("server_encoding")
    yield Finding(OK if encoding == "UTF8" else FAIL, "server_encoding", encoding)
    if is_standby():
        yield Finding(FAIL, "role", "a standby, which accepts no writes")
    else:
        yield Finding(OK, "role", "primary")
