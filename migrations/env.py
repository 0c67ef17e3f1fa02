"""Runs migrations: one process at a time, each step all or nothing, no row lost.

A step may have three parts. `prepare(work)` runs before the step's transaction and
builds indexes and writes batches of data in short transactions. If it is interrupted,
the next run continues it. `upgrade()` runs in the step's transaction. `finish(work)`
runs after the last step and handles rows that older servers wrote meanwhile.

On SQLite a batch alteration creates a new table and drops the old one. With foreign
keys on, the drop would delete every row that refers to the table (ON DELETE CASCADE).
So we turn them off, which works only outside a transaction, and check them before the
commit.
"""

import fcntl
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context
from flask import current_app, has_app_context
from flask.cli import ScriptInfo
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

# Steps must still run when chatstore changes, so this folder imports only `db`.
from chatstore.db import UtcDateTime, db

# An arbitrary key, which no other program may use.
ADVISORY_LOCK = 0x63686174
WAITING = "waiting for another process that migrates\n"
# The oldest code that runs on a step without an `oldest_code` of its own.
OLDEST_CODE = "0001"
_REMOVES_ROWS = ("DROP TABLE", "DELETE", "UPDATE")
APPLICATION = "chatstore.app:create_app"
# Steps create the tables of the search index with SQL, and no model declares them.
_INDEX_TABLES = ("message_index", "name_index")


def load(path: str) -> Any:
    """Import and return a module of this folder, which need not be in a package."""
    file = Path(__file__).parent / path
    spec = importlib.util.spec_from_file_location(f"chatstore_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for their module
    spec.loader.exec_module(module)
    return module


batches = load("batches.py")


def run() -> None:
    if has_app_context():
        run_in_app()
        return
    # Developers run Alembic's own command, which has no application, so we load ours.
    with ScriptInfo(app_import_path=APPLICATION).load_app().app_context():
        run_in_app()


def run_in_app() -> None:
    if context.is_offline_mode():
        raise SystemExit("chatstore migrates a database and writes no SQL files.")
    settings = current_app.config["CHATSTORE"]
    with ExitStack() as stack:
        stack.enter_context(alone(settings.sqlite_path))
        connection = stack.enter_context(db.engine.connect()).execution_options(
            unbounded=True
        )
        if settings.sqlite_path is not None:
            set_foreign_keys(connection, "OFF")
            stack.callback(set_foreign_keys, connection, "ON")
            set_legacy_renames(connection, "ON")
            stack.callback(set_legacy_renames, connection, "OFF")
        else:
            connection.execution_options(isolation_level="READ COMMITTED")
        lock = current_app.extensions.get("chatstore-writer-lock")
        work = batches.Work(
            connection,
            held=lock.held if lock else nullcontext,
            frozen=lambda name: load(f"frozen/{name}.py"),
            is_pooled=settings.database_pooler == "pgbouncer",
        )
        stack.callback(work.end_transaction)
        stack.callback(work.close)
        # A failed step's transaction must end before the lock is released.
        stack.callback(connection.rollback)
        try:
            migrate(work)
        except batches.Refused as error:
            refusal = context.config.attributes.get("refusal", SystemExit)
            raise refusal(str(error)) from error
        finally:
            work.show("")


@contextmanager
def alone(sqlite_path: Path | None) -> Iterator[None]:
    """Hold the migration lock of this database; if another process has it, wait."""
    hold = (
        alone_on_postgresql() if sqlite_path is None else alone_on_sqlite(sqlite_path)
    )
    with hold:
        yield


@contextmanager
def alone_on_sqlite(path: Path) -> Iterator[None]:
    # Servers write between the steps, so this is not the writers' lock. The kernel
    # frees it when its holder is killed.
    path = path.with_name(f"{path.name}-migration-writer")
    lock_file = os.open(path, os.O_RDWR | os.O_CREAT, mode=0o600)
    try:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say_waiting()
            fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock_file)


@contextmanager
def alone_on_postgresql() -> Iterator[None]:
    # A pooler gives us a connection only for a transaction, so an open transaction
    # holds the lock. The engine's pool may have one connection only, so we use another.
    pool = db.engine.pool.recreate()
    connection = pool.connect()
    try:
        is_first = True
        while not is_alone(connection.driver_connection):
            if is_first:
                say_waiting()
            is_first = False
        yield
    finally:
        connection.close()
        pool.dispose()


def is_alone(driver: Any) -> bool:
    """Take the lock until the transaction ends; return False after 0.5 s of waiting.

    The waiting transaction has a snapshot, and a concurrent index build waits for the
    end of all older snapshots. So each attempt must be short.
    """
    driver.isolation_level = 2  # psycopg.IsolationLevel.READ_COMMITTED
    driver.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    driver.execute("SET LOCAL statement_timeout = 0")
    driver.execute("SET LOCAL lock_timeout = '500ms'")
    try:
        driver.execute(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
    except db.engine.dialect.loaded_dbapi.OperationalError as error:
        driver.rollback()
        if error.sqlstate in batches.BUSY_STATES:
            return False
        raise
    # The snapshot of a query lasts until the next statement, so we run one.
    driver.execute("SET LOCAL lock_timeout = 0")
    return True


def say_waiting() -> None:
    if sys.stderr.isatty():
        sys.stderr.write(WAITING)


def set_foreign_keys(connection: Connection, state: str) -> None:
    # SQLAlchemy would begin a transaction, so we use the driver's own connection.
    driver = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA foreign_keys = {state}")


def set_legacy_renames(connection: Connection, state: str) -> None:
    # A batch alteration renames its new table, which fails if triggers of other tables
    # name the old one, unless SQLite leaves triggers alone as it did before 3.25.
    driver = connection.connection.dbapi_connection
    driver.execute(f"PRAGMA legacy_alter_table = {state}")


def check_foreign_keys(connection: Connection) -> None:
    rows = connection.execute(text("PRAGMA foreign_key_check")).all()
    if rows:
        raise RuntimeError(
            f"The migration was undone, because {len(rows)} rows would refer to missing"
            f" ones, the first in {rows[0][0]}."
        )


def migrate(work: Any) -> None:
    context.config.attributes["replace_checks"] = batches.replace_checks
    configure(work.connection)
    given = context.get_context().opts["fn"]
    done: list[Any] = []
    for number in range(1, batches.TRIES + 1):
        with ExitStack() as held:
            configure(work.connection, fn=in_turn(given, work, held, done))
            try:
                with context.begin_transaction():
                    context.run_migrations()
                break
            except DBAPIError as error:
                work.connection.rollback()
                if number == batches.TRIES or not batches.is_busy(error):
                    raise
        work.wait(number)
    for module in done:
        finish = getattr(module, "finish", None)
        if finish:
            finish(work)


def in_turn(
    given: Callable[..., Any], work: Any, held: ExitStack, done: list[Any]
) -> Callable[..., Iterator[Any]]:
    """Return `given` with `prepare` before each step and locks around the step."""

    def steps(heads: Any, its_context: Any) -> Iterator[Any]:
        for step in given(heads, its_context):
            held.close()
            if getattr(step, "is_upgrade", False):
                module = step.revision.module
                if hasattr(module, "prepare"):
                    module.prepare(work)
                done.append(module)
            held.enter_context(work.holding())
            held.enter_context(watching(work))
            yield step
        held.close()
        work.end_transaction()

    return steps


@contextmanager
def watching(work: Any) -> Iterator[None]:
    """Record whether a step removes rows, because only then can references break."""
    work.memory["removes"] = False
    if not work.is_sqlite:
        yield
        return

    def watch(connection, cursor, statement, *_):
        if "alembic_version" not in statement:
            words = statement.lstrip().upper()
            work.memory["removes"] |= words.startswith(_REMOVES_ROWS)

    sa.event.listen(work.connection, "before_cursor_execute", watch)
    context.config.attributes["work"] = work
    try:
        yield
    finally:
        sa.event.remove(work.connection, "before_cursor_execute", watch)


def configure(connection: Connection, **more: Any) -> None:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        compare_type=True,
        render_as_batch=True,
        render_item=render_item,
        include_name=include_name,
        transactional_ddl=True,  # SQLite supports it, but Alembic's default is off
        transaction_per_migration=True,
        on_version_apply=(report_step, check_rows),
        process_revision_directives=number_revision,
        **more,
    )


def include_name(name, kind, _) -> bool:
    return kind != "table" or not name.startswith(_INDEX_TABLES)


def report_step(*, ctx, step, **_) -> None:
    way = "up to" if step.is_upgrade else "down from"
    line = f"{way} {step.up_revision_id}: {step.up_revision.doc}"
    context.config.attributes.get("steps", []).append(line)
    if step.is_upgrade:
        write_support(ctx.connection, step.up_revision)


def write_support(connection: Connection, revision: Any) -> None:
    """Store the oldest code that may serve the database at this revision."""
    columns = sa.inspect(connection).get_columns("alembic_version")
    if "oldest_code" not in {each["name"] for each in columns}:
        return
    connection.execute(
        text(
            "UPDATE alembic_version SET supported_revision = :revision,"
            " oldest_code = coalesce(:given, oldest_code, :default)"
        ),
        {
            "revision": revision.revision,
            "given": getattr(revision.module, "oldest_code", None),
            "default": OLDEST_CODE,
        },
    )


def check_rows(*, ctx, **_) -> None:
    work = context.config.attributes.get("work")
    if ctx.dialect.name == "sqlite" and work and work.memory["removes"]:
        check_foreign_keys(ctx.connection)


def number_revision(_, revision, directives) -> None:
    script = directives[0]
    is_automatic = getattr(context.config.cmd_opts, "autogenerate", False)
    if is_automatic and script.upgrade_ops.is_empty():
        directives[:] = []
        return
    (last,) = revision or ("0000",)
    script.rev_id = f"{int(last) + 1:04d}"


def render_item(kind, item, autogenerate) -> str | bool:
    # A migration must not change with the models, so it names SQLAlchemy's types.
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.String(27).with_variant(sa.DateTime(timezone=True), 'postgresql')"
    return False


run()
