"""Runs migrations: one at a time, all or nothing, with no row lost on the way.

On SQLite a batch alteration makes a new table and drops the old one. With foreign
keys on, the drop deletes every row that refers to the table (ON DELETE CASCADE), so
they are off meanwhile, which only works outside a transaction, and checked before
the commit.
"""

from contextlib import ExitStack

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

import chatstore.models  # noqa: F401, autogenerate compares with these
from chatstore.db import UtcDateTime, db
from chatstore.models.indexes import is_index_table

# Any number, as long as nobody else uses it.
ADVISORY_LOCK = 0x63686174


def run() -> None:
    if context.is_offline_mode():
        raise SystemExit("chatstore migrates a database, it does not write SQL files.")
    is_sqlite = db.engine.dialect.name == "sqlite"
    with ExitStack() as stack:
        if is_sqlite:
            lock = current_app.extensions["chatstore-writer-lock"]
            stack.enter_context(lock.held())
        connection = stack.enter_context(db.engine.connect()).execution_options(
            sqlite_begin="IMMEDIATE", unbounded=True
        )
        if is_sqlite:
            set_foreign_keys(connection, "OFF")
            stack.callback(set_foreign_keys, connection, "ON")
        else:
            # Stricter, it would see the database as before its wait for the others.
            connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            if not is_sqlite:
                wait_for_others(connection)
            migrate(connection)
            if is_sqlite:
                check_foreign_keys(connection)


def set_foreign_keys(connection: Connection, state: str) -> None:
    # By the driver's own connection: SQLAlchemy's would begin a transaction.
    driver = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA foreign_keys = {state}")


def check_foreign_keys(connection: Connection) -> None:
    rows = connection.execute(text("PRAGMA foreign_key_check")).all()
    if rows:
        raise RuntimeError(
            f"The migration was undone: {len(rows)} rows would refer to missing ones,"
            f" the first in {rows[0][0]}."
        )


def wait_for_others(connection: Connection) -> None:
    bound = connection.scalar(text("SELECT current_setting('lock_timeout')"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
    connection.execute(text(f"SET LOCAL lock_timeout = '{bound}'"))


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        compare_type=True,
        render_as_batch=True,
        render_item=render_item,
        include_name=include_name,
        transactional_ddl=True,  # SQLite has it; Alembic leaves it off there
        on_version_apply=report_step,
        process_revision_directives=number_revision,
    )
    with context.begin_transaction():
        context.run_migrations()


def include_name(name, kind, _) -> bool:
    return kind != "table" or not is_index_table(name)


def report_step(*, step, **_) -> None:
    way = "up to" if step.is_upgrade else "down from"
    line = f"{way} {step.up_revision_id}: {step.up_revision.doc}"
    context.config.attributes.get("steps", []).append(line)


def number_revision(_, revision, directives) -> None:
    script = directives[0]
    is_automatic = getattr(context.config.cmd_opts, "autogenerate", False)
    if is_automatic and script.upgrade_ops.is_empty():
        directives[:] = []
        return
    (last,) = revision or ("0000",)
    script.rev_id = f"{int(last) + 1:04d}"


def render_item(kind, item, autogenerate) -> str | bool:
    # A migration must not change with the models: it names what they stand for.
    if kind == "type" and isinstance(item, UtcDateTime):
        autogenerate.imports.add("from chatstore.db import UtcDateTime")
        return "UtcDateTime()"
    return False


run()
