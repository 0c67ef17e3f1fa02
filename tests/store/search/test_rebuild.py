from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from chatstore.cli import main
from chatstore.db import db, run_write, transaction
from chatstore.fulltext.index_format import NAMES
from chatstore.store.search import rebuild
from chatstore.store.search.entries import put_entries
from chatstore.store.sessions import update_session
from tests.support import wait_until
from tests.support.searches import (
    damage,
    hits,
    make_searchable,
    reindex,
    violations,
)


@pytest.fixture
def chat(db_session):
    return make_searchable()


def test_a_session_that_an_older_version_wrote_is_found_and_mended(chat):
    damage("DELETE FROM name_index", "DELETE FROM name_index")
    damage(*["UPDATE sessions SET number = NULL"] * 2)
    assert len(violations()) == 2
    assert [hit.seq for hit in hits("plan")] == [1, 2] or hits("plan")
    reindex()
    assert violations() == []
    assert [hit.snippet for hit in hits("plan")][0] == "a plan"


def test_the_command_indexes_all_anew(chat, database_url):
    damage("DELETE FROM message_index", "DELETE FROM message_index")
    assert hits("second") == []
    environ = {
        "CHATSTORE_DATABASE_URL": database_url,
        "CHATSTORE_SECRET_KEY": "a secret of the tests",
    }
    db.session.remove()
    result = CliRunner().invoke(main, ["reindex"], env=environ)
    assert (result.exit_code, result.output) == (0, "indexed 8 messages, 2 names\n")
    assert violations() == []
    assert [hit.snippet for hit in hits("second")] == ["second plan"]


def test_batches_take_turns(chat):
    damage("DELETE FROM message_index", "DELETE FROM message_index")
    assert len(violations()) == 8
    reindex(max_bytes=1)
    assert violations() == []


@pytest.mark.parametrize("name", ["another", None])
def test_a_rename_waits_for_who_writes_the_old_name_anew(app, chat, name):
    renamed = {"owner_id": "alice", "changes": {"name": name}}

    def rename(session_id):
        with app.app_context():
            run_write(update_session, session_id, **renamed)

    with ThreadPoolExecutor(1) as other:
        with transaction():
            entries = rebuild.read_entries(NAMES, is_locking=True)
            renaming = other.submit(rename, chat.id)
            wait_until(partial(is_held_up_or_done, renaming))
            put_entries(NAMES, entries)
        renaming.result()
    assert violations() == []


def is_held_up_or_done(work):
    if db.engine.dialect.name == "sqlite":  # the write waits to begin
        return True
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return work.done() or db.session.scalar(text(waiting)) > 0
