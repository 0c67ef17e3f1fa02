import pytest
from sqlalchemy import inspect

from chatstore.db import db, run_read, run_write
from chatstore.enums import AuditAction
from chatstore.fulltext.index_format import MESSAGES, NAMES, is_index_table
from chatstore.models import AuditEntry
from chatstore.store import owners
from chatstore.store.audit import record_act
from chatstore.store.deletions import Bounds
from chatstore.store.keys import create_key
from chatstore.store.sessions import delete_session
from chatstore.store.trash import trash_session
from tests.support.owned import fill_owner

# Tables that have nothing of anybody: add no table here that has text of an owner.
NOBODYS = {"alembic_version", "change_feed", "jobs", "usage_progress"}


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


def has_owner(table):
    """Return whether the table names the owner, or goes with a row that does."""
    names = {column.name for column in table.columns}
    if names & set(owners.NAMES_OF_COLUMNS):
        return True
    return any(
        key.ondelete == "CASCADE" and has_owner(key.column.table)
        for key in table.foreign_keys
    )


def test_every_table_names_its_owner_or_goes_with_a_row_that_does(db_session):
    for name in inspect(db.engine).get_table_names():
        if is_index_table(name) or name in NOBODYS:
            continue
        assert has_owner(db.metadata.tables[name]), name
        for column in db.metadata.tables[name].columns:
            is_known = column.name in owners.NAMES_OF_COLUMNS
            assert is_known or "owner" not in column.name, (name, column.name)


def test_every_column_and_index_is_looked_at(app):
    fill_owner(app, "alice")
    with app.app_context():
        columns = {f"{each.table.name}.{each.name}" for each in owners.owner_columns()}
        # If you added a table, let `fill_owner` write it.
        assert owners.find_left("alice").keys() == columns | {NAMES, MESSAGES}
        assert owners.find_left("bob") == {}
        assert owners.count_messages("alice") == 3
        assert owners.sum_usage("alice")["messages used"] == 3


def test_owners_are_listed_whatever_they_have(app, make_session):
    trashed = make_session(owner_id="in the trash")
    make_session(owner_id="alice")
    make_session(owner_id="alice")
    with app.app_context():
        run_write(trash_session, trashed.id, owner_id="in the trash")
        run_write(create_key, owner_id="Keys", scope="read")
        found = list(owners.each_owner())
        assert sorted(found) == ["Keys", "alice", "in the trash"]
        assert owners.count_sessions("alice") == 2
        assert owners.count_sessions("in the trash") == 0


def test_a_hidden_session_has_an_owner(app, make_session):
    chat = make_session(owner_id="alice", messages=3)
    with app.app_context():
        assert run_write(
            delete_session, chat.id, owner_id="alice", bounds=Bounds(max_messages=1)
        )
        assert "sessions.former_owner_id" in run_read(owners.find_left, "alice")
        assert list(owners.each_owner()) == ["alice"]


def test_entries_of_the_audit_log_keep_actor_and_act_only(db_session):
    for owner_id, action in (
        ("alice", AuditAction.KEY_ISSUED),
        ("alice", AuditAction.OWNER_EXPORTED),
        ("bob", AuditAction.KEY_ISSUED),
    ):
        details = {"details": {"count": 1}, "address": "192.0.2.1", "target": "x"}
        run_write(record_act, action, actor="root", owner_id=owner_id, **details)
    assert owners.find_traces("alice") == {"audit_entries.details": 1}
    assert run_write(owners.redact_entries, "alice") == 1
    assert owners.find_traces("alice") == {}
    first, exported, other = db_session.query(AuditEntry).order_by(AuditEntry.id)
    assert (first.actor, first.action, first.owner_id) == (
        "root",
        "key.issued",
        "alice",
    )
    assert (first.target, first.address, first.details) == (None, None, None)
    assert exported.details == other.details == {"count": 1}
