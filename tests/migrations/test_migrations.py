import ast
import re
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, IntegrityError

from chatstore.app import create_app
from chatstore.clock import format_instant
from chatstore.db import db, run_write, transaction
from chatstore.db.revisions import (
    alembic_config,
    current_revision,
    head_revision,
    migrate,
    migrations_folder,
)
from chatstore.fulltext.index_format import is_index_table
from chatstore.models import ChatSession, Message
from chatstore.store.deletions import hide_sessions
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session
from chatstore.store.verify.checks import CHECKS
from tests.migrations import gate
from tests.support import clean_environ, make_settings, need, on_sqlite, wait_until

FILES = sorted((migrations_folder() / "versions").glob("[0-9]*.py"))
NUMBERS = [f"{number:04d}" for number in range(1, len(FILES) + 1)]
NEXT = f"{len(FILES) + 1:04d}"


@pytest.fixture
def app(empty_database_url):
    """The application on a database without tables, its context pushed."""
    app = create_app(make_settings(empty_database_url))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def move(direction, revision, *, folder=None):
    db.session.remove()
    getattr(command, f"{direction}grade")(alembic_config(folder), revision)


# The files


def test_files_are_numbered_one_after_the_other():
    assert [path.name[:4] for path in FILES] == NUMBERS
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.py", path.name) for path in FILES)


def test_there_is_one_head_and_one_line_down_from_it():
    scripts = ScriptDirectory.from_config(alembic_config())
    assert scripts.get_heads() == [head_revision()] == NUMBERS[-1:]
    line = [(each.revision, each.down_revision) for each in scripts.walk_revisions()]
    assert line[::-1] == list(zip(NUMBERS, [None, *NUMBERS], strict=False))


STANDING_ALONE = [
    each for each in migrations_folder().rglob("*.py") if each.name != "env.py"
]


@pytest.mark.parametrize("path", STANDING_ALONE, ids=lambda path: path.name)
def test_a_step_knows_nothing_of_chatstore(path):
    # Only env.py imports the database and the models, for `make migration`.
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    assert not {each for each in imported if each.startswith("chatstore")}


# The schema


def schema():
    """Return the tables as the database describes them, in a fixed order."""
    inspector = sa.inspect(db.session.connection())
    return {
        table: {
            "columns": {
                each["name"]: (str(each["type"]), each["nullable"], each["default"])
                for each in inspector.get_columns(table)
            },
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": by_name(inspector.get_foreign_keys(table)),
            "unique": by_name(inspector.get_unique_constraints(table)),
            "checks": by_name(inspector.get_check_constraints(table)),
            "indexes": by_name(inspector.get_indexes(table)),
            "numbered for ever": numbers_for_ever(table),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version" and not is_index_table(table)
    }


def by_name(things):
    return {each["name"]: str(each) for each in map(in_words, things)}


def in_words(thing):
    """Return `thing` with index conditions as text, which can be compared."""
    options = thing.get("dialect_options", {})
    return thing | {"dialect_options": {k: str(v) for k, v in options.items()}}


def numbers_for_ever(table):
    if db.engine.dialect.name != "sqlite":
        return True
    query = sa.text("SELECT sql FROM sqlite_schema WHERE name = :table")
    return "AUTOINCREMENT" in db.session.scalar(query, {"table": table})


def test_up_from_empty_is_what_the_models_say(app):
    migrate()
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _: (
            kind != "table" or not is_index_table(name)
        ),
    }
    context = MigrationContext.configure(db.session.connection(), opts=options)
    assert compare_metadata(context, db.metadata) == []
    migrated = schema()
    assert migrated.keys() == db.metadata.tables.keys()
    move("down", "base")
    db.create_all()
    assert schema() == migrated


def test_down_to_base_leaves_nothing(app):
    migrate()
    move("down", "base")
    assert schema() == {}
    assert sa.inspect(db.session.connection()).get_table_names() == ["alembic_version"]
    assert current_revision() is None
    assert len(migrate()) == len(FILES)


# Rows survive the way up and down


def tables():
    """Return the tables of this revision, referenced tables first."""
    metadata = sa.MetaData()
    metadata.reflect(
        db.session.connection(), only=lambda name, _: not is_index_table(name)
    )
    return [each for each in metadata.sorted_tables if each.name != "alembic_version"]


def fill(number):
    """Add three rows to every table, with the columns of this revision."""
    for table in tables():
        if table.name in NOT_FILLED:
            continue
        for seed in range(10 * number + 1, 10 * number + 4):
            values = {
                column.name: value_for(column, seed)
                for column in table.columns
                if column is not table.autoincrement_column
                and (table.name, column.name)
                not in REFUSED_ON_THE_WAY_DOWN | FORGOTTEN_ON_THE_WAY_DOWN
            }
            db.session.execute(table.insert().values(values))
    db.session.commit()


# 0009 refuses the way down if there are any of the first two, and triggers write the
# others.
NOT_FILLED = {"message_revisions", "message_feedback"} | {
    "change_feed",
    "message_changes",
    "session_tombstones",
}
# 0014 sums these from the messages again.
FORGOTTEN_ON_THE_WAY_DOWN = {
    *product(["sessions"], ["input_tokens", "output_tokens", "content_bytes"])
}
REFUSED_ON_THE_WAY_DOWN = {
    *product(
        ["chat_messages"],
        ["extra", "search_text", "parent_seq", "revision", "edited_at"],
    ),
    *product(["chat_messages"], ["deleted_at", "feedback"]),
    *product(["sessions"], ["metadata", "external_id", "head_seq"]),
    *product(["sessions"], ["latest_parent_seq", "forked_from_id"]),
    ("sessions", "forked_from_seq"),
    *product(["sessions"], ["trashed_at", "expires_at"]),
}


def value_for(column, seed):
    """Return a value that fits the column, a different one for each seed."""
    for foreign in column.foreign_keys:
        return db.session.scalar(sa.select(foreign.column).limit(1))
    if column.name == "role":
        return "user"
    if column.name == "former_owner_id":
        return None  # deletions in progress may be lost
    instant = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seed)
    length = getattr(column.type, "length", None)
    match column.type:
        case sa.JSON():
            return [f"{column.name} {seed}", "é😀"]
        case sa.Uuid():
            return uuid4()
        case sa.DateTime():
            return instant
        case sa.Boolean():
            return bool(seed % 2)
        case sa.Integer():
            return seed
        case sa.String() if length == 32:  # a UUID on SQLite
            return uuid4().hex
        case sa.String() if length == 27:  # an instant on SQLite
            return format_instant(instant)
        case sa.String():
            return f"{column.name} {seed} é😀"[:length]
    raise AssertionError(f"{column!r}: say here what fits it")


def contents():
    """Return every row of every table as a dict."""
    rows = {
        table.name: [
            dict(row)
            for row in db.session.execute(
                table.select().order_by(*table.primary_key)
            ).mappings()
        ]
        for table in tables()
    }
    db.session.remove()
    return rows


def losses(before, after):
    """Return the rows that disappeared, compared by the columns of both revisions."""
    found = []
    for table in before.keys() & after.keys():
        columns = set().union(*after[table]) & set().union(*before[table])
        kept = [{name: row[name] for name in columns} for row in after[table]]
        for row in before[table]:
            wanted = {name: row[name] for name in columns}
            if not after[table] or wanted not in kept:
                found.append((table, row))
    return found


def walk(revisions, *, folder=None):
    """Migrate up and down, adding rows at each revision; return losses by step."""
    lost = {}
    steps = [("up", revision) for revision in revisions]
    steps += [("down", revision) for revision in [*revisions[-2::-1], "base"]]
    for number, (direction, revision) in enumerate(steps):
        before = contents()
        move(direction, revision, folder=folder)
        lost[direction, revision] = losses(before, contents())
        fill(number)
    return {step: found for step, found in lost.items() if found}


def test_no_step_up_or_down_loses_a_row(app):
    assert walk(NUMBERS) == {}
    assert contents() == {}


@pytest.mark.parametrize(("table", "column"), sorted(REFUSED_ON_THE_WAY_DOWN))
def test_what_the_version_before_cannot_hold_stays(chats, table, column):
    (rows,) = [each for each in tables() if each.name == table]
    value = value_for(rows.columns[column], 7)
    row = rows.update().where(rows.c.id == db.session.scalar(sa.select(rows.c.id)))
    db.session.execute(row.values({column: value}))
    db.session.commit()
    before = contents()
    with pytest.raises(RuntimeError, match="cannot be downgraded"):
        move("down", "0008")
    # The steps after the one that refused may have taken their tables away.
    assert before["chat_messages"]
    assert losses(before, contents()) == []


def test_what_is_half_deleted_is_deleted_on_the_way_down(chats):
    gone, kept = [row["id"] for row in chats["sessions"]]
    with transaction():
        hide_sessions(ChatSession.id == UUID(str(gone)))
    move("down", "0004")
    after = contents()
    assert [row["id"] for row in after["sessions"]] == [kept]
    assert [row["session_id"] for row in after["chat_messages"]] == [kept] * 3
    assert len(indexed_keys()) == 3
    move("up", NUMBERS[-1])
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


def indexed_keys():
    keys = "rowid" if db.engine.dialect.name == "sqlite" else "id"
    return db.session.scalars(sa.text(f"SELECT {keys} FROM message_index")).all()


def test_long_messages_are_indexed_by_what_is_found_of_them(app):
    move("up", "0003")
    fill(0)
    (messages,) = [each for each in tables() if each.name == "chat_messages"]
    for seed in range(100, 130):
        values = {each.name: value_for(each, seed) for each in messages.columns}
        del values["id"]
        content = {"content": "x" * 2**20}
        db.session.execute(messages.insert().values(values | content))
    db.session.commit()
    tracemalloc.start()
    move("up", "0004")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20 * 20


# Extra steps after ours

STEP = """\
'''extra'''

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down_revision}"


def upgrade():
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table(
        "sessions", recreate="always" if is_sqlite else "auto"
    ) as batch:
        batch.add_column(sa.Column("note", sa.Text()))
    {more}


def downgrade():
    with op.batch_alter_table("sessions") as batch:
        batch.drop_column("note")
"""


@pytest.fixture
def add_step(tmp_path):
    """Copy our migrations, add a step that alters sessions, and return the folder."""

    def add(more="pass"):
        folder = tmp_path / "migrations"
        shutil.copytree(migrations_folder(), folder, dirs_exist_ok=True)
        step = STEP.format(revision=NEXT, down_revision=NUMBERS[-1], more=more)
        (folder / "versions" / f"{NEXT}_extra.py").write_text(step)
        return folder

    return add


@pytest.fixture
def chats(app):
    """Contents of a migrated database: two sessions of three messages each."""
    migrate()
    for _ in range(2):
        chat = run_write(create_session, owner_id="alice", llm_model_name="m")
        for content in "abc":
            run_write(append_message, chat.id, owner_id="alice", content=content)
    return contents()


def foreign_keys():
    """Return the foreign_keys pragma of every pooled connection."""
    db.session.remove()
    with ExitStack() as stack:
        connections = [
            stack.enter_context(db.engine.connect())
            for _ in range(db.engine.pool.checkedin())
        ]
        return {each.scalar(sa.text("PRAGMA foreign_keys")) for each in connections}


def test_a_step_that_loses_rows_is_noticed(app, add_step):
    folder = add_step('op.execute("DELETE FROM chat_messages WHERE seq % 2 = 0")')
    assert list(walk([*NUMBERS, NEXT], folder=folder)) == [("up", NEXT)]


def test_altering_sessions_in_batch_keeps_their_messages(chats, add_step):
    folder = add_step()
    assert migrate(folder=folder) == [f"up to {NEXT}: extra"]
    after = contents()
    assert [row["note"] for row in after["sessions"]] == [None, None]
    assert losses(chats, after) == []
    assert [each for check in CHECKS for each in check.find()] == []
    move("down", NUMBERS[-1], folder=folder)
    assert contents() == chats


@on_sqlite
def test_altering_sessions_with_foreign_keys_on_would_lose_all_messages(chats):
    with db.engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("sessions", recreate="always") as batch:
            batch.add_column(sa.Column("note", sa.Text()))
    after = contents()
    assert (len(after["sessions"]), len(after["chat_messages"])) == (2, 0)


@on_sqlite
def test_foreign_keys_are_on_again_after_migrating(chats, add_step):
    migrate(folder=add_step())
    assert foreign_keys() == {1}


@pytest.mark.parametrize(
    "failure",
    [
        'raise RuntimeError("broken off")',
        'op.execute("DELETE FROM chat_messages"); raise RuntimeError("broken off")',
        'op.execute("DELETE FROM chat_messages"); op.execute("broken off")',
    ],
)
def test_a_step_that_fails_changes_nothing(app, chats, add_step, failure):
    before = schema()
    folder = add_step(failure)
    with pytest.raises((RuntimeError, DBAPIError), match="broken"):
        migrate(folder=folder)
    assert current_revision() == NUMBERS[-1]
    assert (schema(), contents()) == (before, chats)
    assert foreign_keys_hold()


def foreign_keys_hold():
    orphan = {"session_id": uuid4(), "seq": 1, "role": "user", "content": "x"}
    now = datetime.now(UTC)
    with pytest.raises(IntegrityError):
        db.session.execute(sa.insert(Message).values(timestamp=now, **orphan))
    db.session.rollback()
    return True


def test_a_failure_leaves_the_steps_before_it(app, add_step):
    folder = add_step('raise RuntimeError("broken off")')
    with pytest.raises(RuntimeError, match="broken off"):
        migrate(folder=folder)
    assert current_revision() == NUMBERS[-1]
    assert "note" not in schema()["sessions"]["columns"]
    assert migrate(folder=add_step()) == [f"up to {NEXT}: extra"]


@on_sqlite
def test_a_step_that_leaves_messages_without_a_session_is_undone(chats, add_step):
    folder = add_step('op.execute("DELETE FROM sessions")')
    with pytest.raises(
        RuntimeError, match=r"undone, because 6 rows .* in chat_messages"
    ):
        migrate(folder=folder)
    assert current_revision() == NUMBERS[-1]
    assert contents() == chats
    assert foreign_keys() == {1}


# Two migrations at once


def start_migrate(url, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "chatstore", "migrate"],
        cwd=folder,
        env=clean_environ(CHATSTORE_DATABASE_URL=url, CHATSTORE_SECRET_KEY="x"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_of_two_that_migrate_at_once_one_does(empty_database_url, tmp_path):
    started = [start_migrate(empty_database_url, tmp_path) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0] for process in started)
    assert said[0].startswith("migrated up to 0001: create sessions and messages\n")
    assert said[0].count("\n") == len(FILES)
    assert said[1] == "nothing to migrate\n"
    assert [process.returncode for process in started] == [0, 0]


def test_who_migrates_second_waits_and_finds_nothing_to_do(
    app, database_kind, empty_database_url, tmp_path
):
    need("/proc", database_kind == "postgresql" or Path("/proc/self/fd").exists())
    folder = steps_that_wait(tmp_path)

    def migrate_first():
        with app.app_context():
            return migrate(folder=folder)

    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        first = pool.submit(migrate_first)
        assert gate.is_reached.wait(60)
        second = stack.enter_context(start_migrate(empty_database_url, tmp_path))
        stack.callback(gate.may_go_on.set)
        wait_until_it_waits(second, empty_database_url)
        gate.may_go_on.set()
        assert second.communicate(timeout=60)[0] == "nothing to migrate\n"
        assert len(first.result()) == len(FILES)
    assert second.returncode == 0
    assert current_revision() == head_revision()


def steps_that_wait(tmp_path):
    """Return a copy of our migrations whose last step waits at the gate."""
    gate.close()
    folder = tmp_path / "migrations"
    shutil.copytree(migrations_folder(), folder)
    last = folder / "versions" / FILES[-1].name
    head = "def upgrade() -> None:\n"
    step = last.read_text()
    assert head in step
    wait = "    from tests.migrations import gate\n\n    gate.wait()\n"
    last.write_text(step.replace(head, head + wait))
    return folder


def wait_until_it_waits(process, url):
    """Wait until the process waits for the migration lock."""
    is_waiting = waits_in_sqlite if url.startswith("sqlite") else waits_in_postgresql

    def has_come():
        assert process.poll() is None, process.stdout.read()
        return is_waiting(process, url)

    wait_until(has_come)


def waits_in_sqlite(process, url):
    try:
        files = Path(f"/proc/{process.pid}/fd").glob("*")
        return any(each.readlink().name.endswith("-writer") for each in files)
    except FileNotFoundError:  # the descriptor was closed meanwhile
        return False


def waits_in_postgresql(process, url):
    import psycopg

    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone() == (1,)
