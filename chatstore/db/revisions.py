"""Compares the schema's revision with the one that the code needs, and migrates.

The migrations are in migrations/, next to the package in a checkout and inside it when
installed. Importing Alembic takes a tenth of a second, so only the functions that
migrate import it, and no worker does.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from chatstore.db import db
from chatstore.db.sqlite import FIRST_CONTENTLESS_VERSION
from chatstore.errors import WrongRevision
from chatstore.fulltext.index_format import MESSAGES

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATE_COMMAND = "chatstore migrate"


def migrations_folder() -> Path:
    """Return the folder that holds alembic.ini, env.py and the numbered steps."""
    package = Path(__file__).parent.parent
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def alembic_config(folder: Path | None = None) -> "Config":
    """Return Alembic's configuration for our migrations, or for those in `folder`."""
    from alembic.config import Config

    config = Config(str((folder or migrations_folder()) / "alembic.ini"))
    config.attributes["refusal"] = WrongRevision  # what env.py raises
    return config


def head_revision() -> str:
    """Return the revision that this version of chatstore works with."""
    return max(known_revisions())


@cache
def known_revisions() -> frozenset[str]:
    """Return the revisions that our migrations lead to, including the head."""
    # A test compares the numbers in the file names with Alembic's revisions.
    steps = (migrations_folder() / "versions").glob("[0-9]*_*.py")
    return frozenset(step.name.partition("_")[0] for step in steps)


def current_revision() -> str | None:
    """Return the revision that the database is at; None if it was never migrated."""
    connection = db.session.connection()
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(
        text("SELECT version_num FROM alembic_version")
    )
    return version


def is_empty() -> bool:
    """Whether the database is new: it has no table at all."""
    return not inspect(db.session.connection()).get_table_names()


def is_first_run() -> bool:
    """Whether the database is new, or its first migration was interrupted.

    An interrupted first migration looks like an older version's database without
    sessions, and both may be migrated. Another program's database is never accepted.
    """
    if is_empty():
        return True
    tables = set(inspect(db.session.connection()).get_table_names())
    current = current_revision()
    if current is None:
        return tables == {"alembic_version"}  # created before the first migration
    is_older = current in known_revisions() and current < head_revision()
    if not is_older or not tables >= {"sessions", "chat_messages"}:
        return False
    return db.session.execute(text("SELECT 1 FROM sessions LIMIT 1")).first() is None


def is_supported(current: str) -> bool:
    """Whether the schema, newer than this code, declares that it supports this code.

    Migrations only add, so old nodes keep serving until they are replaced. The
    declaration names one revision and counts only if that is `current`.
    """
    columns = inspect(db.session.connection()).get_columns("alembic_version")
    if "oldest_code" not in {column["name"] for column in columns}:
        return False
    query = text("SELECT supported_revision, oldest_code FROM alembic_version")
    declared = db.session.execute(query).first()
    if declared is None or declared.supported_revision != current:
        return False
    oldest_code: str | None = declared.oldest_code
    return oldest_code is not None and oldest_code <= head_revision()


def check_revision() -> None:
    """Raise WrongRevision, with the command to run, unless this code can serve.

    The code can serve a schema of its own revision, or a newer one that supports it.
    """
    current, head = current_revision(), head_revision()
    is_newer = current is not None and current > head
    if current == head or (is_newer and is_supported(str(current))):
        _check_index()
        return
    if current is None:
        raise WrongRevision(f"The database has no tables yet. Run: {MIGRATE_COMMAND}")
    if current < head:
        raise WrongRevision(
            f"The database is at revision {current}, but chatstore needs {head}."
            f" Run: {MIGRATE_COMMAND}"
        )
    raise WrongRevision(
        f"The database is at revision {current}, newer than this version of chatstore,"
        f" which knows {head}. Install the newer version."
    )


def _check_index() -> None:
    # From FIRST_CONTENTLESS_VERSION on, SQLite creates an index that keeps no text, and
    # older releases cannot open it.
    dialect = db.engine.dialect
    version = getattr(dialect.dbapi, "sqlite_version_info", FIRST_CONTENTLESS_VERSION)
    if version >= FIRST_CONTENTLESS_VERSION:
        return
    query = text("SELECT sql FROM sqlite_schema WHERE name = :name")
    if "contentless" in (db.session.scalar(query, {"name": MESSAGES}) or ""):
        raise WrongRevision(
            f"SQLite {'.'.join(map(str, version))} cannot read the search index, which"
            " a newer release created. Run: pip install 'chatstore[sqlite]'"
        )


def migrate(target: str = "head", *, folder: Path | None = None) -> list[str]:
    """Bring the database up to `target`; return one line for each migration.

    The migrations are ours, or those in `folder`. Two processes may migrate at once:
    the second waits, then finds nothing to do. Raises WrongRevision if the database is
    newer than this version and does not support it.
    """
    if (current_revision() or "") > head_revision():
        check_revision()
        return []  # a newer version has migrated already
    from alembic import command

    config = alembic_config(folder)
    steps: list[str] = []
    config.attributes["steps"] = steps
    db.session.remove()  # its open transaction would block the migration
    command.upgrade(config, target)
    return steps
