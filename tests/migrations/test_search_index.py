"""Steps 0004 and 0006 build the search index of existing rows; down removes it."""

import os
import pty
import re
import subprocess
import sys
from contextlib import closing
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command

from chatstore.app import create_app
from chatstore.clock import format_instant, utc_now
from chatstore.db import db
from chatstore.db.revisions import alembic_config, migrate, migrations_folder
from chatstore.store.search.pages import Search, search
from chatstore.store.verify.checks import CHECKS
from tests.support import clean_environ, make_settings, on_postgresql

STEP = (
    migrations_folder() / "versions" / "0006_write_lists_and_search_index.py"
).read_text()
BATCH = int(re.search(r"^SESSIONS, MESSAGES = \d+, (\d+)$", STEP, re.MULTILINE)[1])
MESSAGES = 2 * BATCH + 1


@pytest.fixture
def app(empty_database_url):
    """The application on a database of the previous revision, its context pushed."""
    app = create_app(make_settings(empty_database_url))
    with app.app_context():
        migrate("0003")
        fill()
        yield app
        db.session.remove()
        db.engine.dispose()


def fill():
    """Add two old sessions: one with a name and messages, one with neither."""
    tables = sa.MetaData()
    tables.reflect(db.session.connection(), only=["sessions", "chat_messages"])
    is_sqlite = db.engine.dialect.name == "sqlite"
    ids = [UUID(int=number, version=4) for number in (2, 1)]
    ids = [each.hex for each in ids] if is_sqlite else ids
    now = format_instant(utc_now()) if is_sqlite else utc_now()
    chat = {
        "owner_id": "alice",
        "created_at": now,
        "last_updated_at": now,
        "llm_model_name": "m",
        "rag_document_ids": [],
        "metadata_tags": [],
        "message_count": MESSAGES,
        "last_seq": MESSAGES,
        "pinned": False,
        "revision": 1,
    }
    empty = chat | {"message_count": 0, "last_seq": 0}
    message = {"session_id": ids[0], "timestamp": now, "role": "user"}
    db.session.execute(
        tables.tables["sessions"].insert(),
        [
            chat | {"id": ids[0], "name": "old", "name_folded": "old"},
            empty | {"id": ids[1], "name": None, "name_folded": ""},
        ],
    )
    db.session.execute(
        tables.tables["chat_messages"].insert(),
        [
            message | {"seq": seq, "content": f"plan w{seq:05d} 数据库"}
            for seq in range(1, MESSAGES + 1)
        ],
    )
    db.session.commit()


def found(q):
    page = search(Search(q=q), owner_id="alice", limit=5)
    db.session.rollback()
    return [(hit.snippet, hit.seq) for hit in page.hits]


def violations():
    names = {"search", "orphans", "facets", "names"}
    return [line for each in CHECKS if each.name in names for line in each.find()]


def assert_all_is_found():
    assert violations() == []
    db.session.rollback()
    for seq in (1, BATCH, BATCH + 1, 2 * BATCH, MESSAGES):
        assert found(f"w{seq:05d}") == [(f"plan w{seq:05d} 数据库", seq)]
    newest = [MESSAGES - before for before in range(5)]
    assert [seq for _, seq in found("plan")] == newest
    assert found("old") == [("old", None)]


def test_what_was_there_before_is_found(app):
    migrate()
    assert_all_is_found()


@on_postgresql
def test_sessions_are_not_all_read_for_each_batch(app):
    move_down(app, "0002")
    copies = 20 * BATCH
    # Free space in pages lets an update stay in its page, as in real tables.
    db.session.execute(sa.text("ALTER TABLE sessions SET (fillfactor = 40)"))
    columns = "owner_id, created_at, last_updated_at, llm_model_name, pinned, revision"
    columns += ", rag_document_ids, metadata_tags, message_count, last_seq, name"
    statement = (
        f"INSERT INTO sessions (id, {columns}) SELECT gen_random_uuid(), {columns}"
        f" FROM sessions, generate_series(1, {copies}) WHERE name = 'old'"
    )
    db.session.execute(sa.text(statement))
    db.session.commit()
    migrate()
    db.session.execute(sa.text("SELECT pg_stat_force_next_flush()"))
    db.session.commit()
    read = sa.text(
        "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'sessions'"
    )
    assert db.session.scalar(read) < 60 * copies


def test_the_index_comes_and_goes(app):
    before = tables()
    for _ in range(2):
        migrate()
        assert_all_is_found()
        move_down(app, "0003")
        assert tables() == before


def move_down(app, revision):
    db.session.remove()
    command.downgrade(alembic_config(), revision)


def tables():
    inspector = sa.inspect(db.session.connection())
    columns = [each["name"] for each in inspector.get_columns("sessions")]
    names = sorted(inspector.get_table_names())
    db.session.remove()
    return names, columns


def start_migrating(url, errors):
    return subprocess.Popen(
        [sys.executable, "-m", "chatstore", "migrate"],
        env=clean_environ(CHATSTORE_DATABASE_URL=url, CHATSTORE_SECRET_KEY="x"),
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


def test_progress_is_shown_on_a_terminal(app, empty_database_url):
    ours, theirs = pty.openpty()
    with start_migrating(empty_database_url, theirs) as process:
        assert "up to 0004: create the search index\n" in process.stdout.read()
    os.close(theirs)
    with closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        shown = terminal.read(4096).decode()
    steps = shown.split("\r\033[K")
    assert [each for each in steps if each.startswith("messages")] == [
        f"messages: {count}" for count in (BATCH, 2 * BATCH, MESSAGES)
    ]
    assert shown.endswith("\r\033[K")


def test_and_nowhere_else(app, empty_database_url):
    with start_migrating(empty_database_url, subprocess.PIPE) as process:
        assert process.communicate()[1] == ""
