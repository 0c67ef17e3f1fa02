"""Whether a database is sound and known to this version, and what it holds."""

from collections.abc import Callable, Iterator
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

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Contents:
    """What a backup holds; `revision` is that of its schema."""

    revision: str
    sessions: int
    messages: int

    def __str__(self) -> str:
        sessions, messages = self.sessions, self.messages
        return f"{counted(sessions, 'session')}, {counted(messages, 'message')}"


def counted(count: int, noun: str) -> str:
    """Return the count with its noun, which gets an s unless there is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def known_revision(revision: str | None, *, of: str) -> str:
    """Return the revision; BackupError unless this version of chatstore knows it."""
    if not revision:
        raise BackupError(f"{of} has no tables of chatstore's.")
    if revision not in known_revisions():
        raise BackupError(
            f"{of} is at revision {revision}, which this version of chatstore does not"
            f" know: its own is {head_revision()}. Install the version that made it."
        )
    return revision


def check_contents(what: str, progress: Progress) -> Contents:
    """Prove the promises about the present database, and count what it holds.

    `what` is its name in the BackupError that is raised when one is broken.
    """
    try:
        revision = known_revision(current_revision(), of=what)
        # An older schema lacks what the queries ask for; its file can be checked.
        is_current = revision == head_revision()
        for check in checks.CHECKS if is_current else checks.CHECKS[:1]:
            progress(f"checking {check.name}")
            for violation in check.find(progress):
                raise BackupError(f"{what} breaks a promise: {violation}.")
        return Contents(revision, stats.count_sessions(), stats.count_messages())
    except DBAPIError as error:
        raise BackupError(f"{what} cannot be read: {error.orig}.") from error


@contextmanager
def looking_into(path: Path) -> Iterator[None]:
    """Make queries read the SQLite file at `path`, which they cannot change."""
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
