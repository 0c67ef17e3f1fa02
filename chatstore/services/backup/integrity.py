"""Checks that a database is sound and of a known revision; counts its rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from flask import Flask
from sqlalchemy import URL, NullPool
from sqlalchemy.exc import DBAPIError

from chatstore.db import db, sqlite
from chatstore.db.revisions import current_revision, head_revision, known_revisions
from chatstore.errors import BackupError
from chatstore.store import stats
from chatstore.store.verify import checks
from chatstore.store.verify.index import Progress


@dataclass(frozen=True)
class Contents:
    """The schema's revision and the numbers of rows in a backup."""

    revision: str
    sessions: int
    messages: int

    def __str__(self) -> str:
        sessions, messages = self.sessions, self.messages
        return f"{pluralize(sessions, 'session')}, {pluralize(messages, 'message')}"


def pluralize(count: int, noun: str) -> str:
    """Return `count` and `noun`, which gets an s unless `count` is 1."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def require_known_revision(revision: str | None, *, database: str) -> str:
    """Return `revision`; raise BackupError if this version does not know it."""
    if not revision:
        raise BackupError(f"{database} has no tables of chatstore.")
    if revision not in known_revisions():
        raise BackupError(
            f"{database} is at revision {revision}. This version of chatstore knows"
            f" only {head_revision()}. Install the version that wrote it."
        )
    return revision


def check_contents(database: str, progress: Progress) -> Contents:
    """Check the promises about the current database; return its contents.

    Raises BackupError at the first violation; `database` names it in the error.
    """
    try:
        revision = require_known_revision(current_revision(), database=database)
        # The queries need the current schema, so of an older one we check the file.
        is_current = revision == head_revision()
        for check in checks.CHECKS if is_current else checks.CHECKS[:1]:
            progress(f"checking {check.name}")
            for violation in check.find(progress):
                raise BackupError(f"{database} breaks a promise: {violation}.")
        return Contents(revision, stats.count_sessions(), stats.count_messages())
    except DBAPIError as error:
        raise BackupError(f"{database} cannot be read: {error.orig}.") from error


@contextmanager
def sqlite_file_as_database(path: Path) -> Iterator[None]:
    """Let queries in the block read the SQLite file at `path`, read-only."""
    app = Flask("chatstore-copy")
    place = str(path.absolute())
    location = f"file:{quote(place)}?mode=ro"
    app.config["SQLALCHEMY_DATABASE_URI"] = URL.create("sqlite", database=place)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "module": sqlite.driver(),
        "creator": partial(sqlite.driver().connect, location, uri=True),
        "poolclass": NullPool,
    }
    db.init_app(app)
    with app.app_context():
        yield
