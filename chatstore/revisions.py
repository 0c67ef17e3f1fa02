"""Which revision the database schema is at, which it should be at, how it gets there.

The steps themselves are in migrations/, beside the package in a checkout and
inside it in an installed one.
"""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from sqlalchemy import inspect, text

from chatstore.db import db
from chatstore.errors import WrongRevision
from chatstore.models.indexes import MESSAGES

COMMAND = "chatstore migrate"
# From this release of SQLite on a search index can delete without keeping the text.
FIRST_CONTENTLESS = (3, 43, 0)


def migrations_folder() -> Path:
    """Return the folder that holds alembic.ini, env.py and the numbered steps."""
    package = Path(__file__).parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


@cache
def head_revision() -> str:
    """Return the revision that this version of chatstore works with."""
    head = _migrations().get_current_head()
    assert head is not None
    return head


@cache
def known_revisions() -> frozenset[str]:
    """Return the revisions that there are migrations to, the head's among them."""
    return frozenset(step.revision for step in _migrations().walk_revisions())


def current_revision() -> str | None:
    """Return the revision that the database is at; None if it was never migrated."""
    connection = db.session.connection()
    return MigrationContext.configure(connection).get_current_revision()


def is_empty() -> bool:
    """Whether the database holds no table at all: a new one."""
    return not inspect(db.session.connection()).get_table_names()


def check_revision() -> None:
    """Raise WrongRevision, with the command to run, unless the schema is right."""
    current, head = current_revision(), head_revision()
    if current == head:
        _check_index()
        return
    if current is None:
        raise WrongRevision(f"The database has no tables yet. Run: {COMMAND}")
    if current < head:
        raise WrongRevision(
            f"The database is at revision {current}, chatstore needs {head}."
            f" Run: {COMMAND}"
        )
    raise WrongRevision(
        f"The database is at revision {current}, newer than this version of chatstore,"
        f" which knows {head}. Install the newer version."
    )


def _check_index() -> None:
    # Where the release of SQLite knows how, the index keeps no text; an older one
    # cannot open it.
    dialect = db.engine.dialect
    version = getattr(dialect.dbapi, "sqlite_version_info", FIRST_CONTENTLESS)
    if version >= FIRST_CONTENTLESS:
        return
    query = text("SELECT sql FROM sqlite_schema WHERE name = :name")
    if "contentless" in (db.session.scalar(query, {"name": MESSAGES}) or ""):
        raise WrongRevision(
            "The search index was made with a newer SQLite than this one,"
            f" {'.'.join(map(str, version))}. Run: pip install 'chatstore[sqlite]'"
        )


def migrate(target: str = "head") -> list[str]:
    """Bring the database up to `target`; return what was done, a line a step.

    Safe to run twice at once: the second waits, and finds nothing to do. Raises
    WrongRevision on a database that is newer than this version.
    """
    if (current_revision() or "") > head_revision():
        check_revision()
    config: Config = current_app.extensions["migrate"].migrate.get_config()
    steps: list[str] = []
    config.attributes["steps"] = steps
    db.session.remove()  # or its transaction would be in the way
    command.upgrade(config, target)
    return steps


def _migrations() -> ScriptDirectory:
    config = Config(migrations_folder() / "alembic.ini")
    config.set_main_option("script_location", str(migrations_folder()))
    return ScriptDirectory.from_config(config)
