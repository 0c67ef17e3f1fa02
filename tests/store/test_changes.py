"""The change feed as the store reads it."""

import pytest
import sqlalchemy as sa

from chatstore.db import db, run_write
from chatstore.models import ChatSession
from chatstore.store.changes import last_change_ids
from chatstore.store.edits import edit_message
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session, delete_session
from tests.support import on_postgresql
from tests.support.crowd import fill_sessions
from tests.support.statements import plan_of, statements_of_read


def create(owner_id="alice", **columns):
    return run_write(create_session, owner_id=owner_id, llm_model_name="m", **columns)


def append(chat, content="Hello", owner_id="alice"):
    return run_write(append_message, chat.id, owner_id=owner_id, content=content)


def change_id_of(chat):
    db.session.rollback()
    query = sa.select(ChatSession.change_id).where(ChatSession.id == chat.id)
    return db.session.scalar(query)


# The last change of each owner


def test_the_last_change_of_each_owner_is_the_greatest_of_all_kinds(db_session):
    chat, other = create(), create("bob")
    numbers = [change_id_of(chat)]
    assert last_change_ids(["alice", "bob", "carol"]) == {
        "alice": numbers[0],
        "bob": change_id_of(other),
        "carol": 0,
    }
    message = append(chat)
    numbers.append(last_change_ids(["alice"])["alice"])
    changes = {"content": "Hi"}
    run_write(edit_message, chat.id, message.id, owner_id="alice", changes=changes)
    numbers.append(last_change_ids(["alice"])["alice"])
    run_write(delete_session, chat.id, owner_id="alice")
    numbers.append(last_change_ids(["alice"])["alice"])
    assert numbers == sorted(set(numbers))
    assert last_change_ids(["bob"]) == {"bob": change_id_of(other)}


def test_no_owners_have_no_last_changes(db_session):
    create()
    assert last_change_ids([]) == {}


def test_the_last_changes_of_many_owners_take_one_statement(db_session):
    owners = [f'owner "{number}"' for number in range(500)]
    chats = {owner: create(owner) for owner in owners[:3]}
    statements = statements_of_read(last_change_ids, owners)
    assert len(statements) == 1
    found = last_change_ids(owners)
    assert found.keys() == set(owners)
    assert {owner: found[owner] for owner in chats} == {
        owner: change_id_of(chat) for owner, chat in chats.items()
    }
    assert not any(found[owner] for owner in owners[3:])


@on_postgresql
def test_a_last_change_waits_for_transactions_that_began_before_it(
    db_session, database_url, postgres
):
    before = change_id_of(create())
    with db.engine.connect() as running:
        running.execute(sa.text("SELECT pg_current_xact_id()"))
        create()
        assert last_change_ids(["alice"]) == {"alice": before}
    assert last_change_ids(["alice"])["alice"] > before


@pytest.fixture
def crowd(db_session, database_kind):
    """10,000 sessions of two owners."""
    fill_sessions(5000)
    fill_sessions(5000, owner_id="bob", seed=1)


def assert_no_scan(database_kind, plan):
    words = {"sqlite": "'SCAN sessions", "postgresql": "Seq Scan on sessions"}
    assert "ix_sessions_changes" in plan
    assert words[database_kind] not in plan, plan
    assert "TEMP B-TREE" not in plan and "Sort Key" not in plan, plan


def test_last_changes_are_looked_up_in_an_index(crowd, database_kind):
    found = plan_of(database_kind, lambda: last_change_ids(["alice", "bob"]))
    assert_no_scan(database_kind, found)
