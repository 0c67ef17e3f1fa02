"""Two reads with one validator must have read the same, whatever commits when."""

from contextlib import contextmanager
from itertools import permutations
from uuid import UUID

import pytest
from sqlalchemy import select, text

from chatstore.db import db, run_write
from chatstore.models import ChatSession, Message
from chatstore.store.changes import create_feed
from chatstore.store.edits import edit_message
from chatstore.store.facets import list_models
from chatstore.store.feedback import set_feedback
from chatstore.store.messages import MessageRange, append_message, list_messages
from chatstore.store.session_lists import SessionListing, list_sessions
from chatstore.store.sessions import create_session, delete_session, update_session
from chatstore.store.tags import list_tags
from chatstore.store.validators import list_validator, messages_validator
from tests.support import MISSING_ID, on_postgresql
from tests.support.crowd import fill_sessions
from tests.support.statements import plan_of, statements_of_read


@pytest.fixture(autouse=True)
def feed(app):
    """Give the database the row that it has after its migration."""
    with app.app_context():
        run_write(create_feed)


def create(owner_id="alice", **columns):
    return run_write(create_session, owner_id=owner_id, llm_model_name="m", **columns)


def append(chat, content="Hello"):
    return run_write(append_message, chat.id, owner_id="alice", content=content)


def rename(chat, name="New"):
    changes = {"name": name}
    run_write(
        update_session, chat.id, owner_id="alice", changes=changes, if_revisions=None
    )


def edit(chat, message):
    changes = {"content": "Hi"}
    run_write(edit_message, chat.id, message.id, owner_id="alice", changes=changes)


def rate(chat, message):
    run_write(
        set_feedback, chat.id, message.id, owner_id="alice", feedback={"rating": 1}
    )


def of_messages(chat):
    return messages_validator(chat.id, owner_id="alice")


def test_a_lists_validator_changes_with_each_change_of_the_owners_sessions(db_session):
    found = [list_validator("alice")]
    chat = create()
    found.append(list_validator("alice"))
    for change in (
        lambda: append(chat),
        lambda: rename(chat),
        lambda: run_write(delete_session, chat.id, owner_id="alice"),
        create,
    ):
        change()
        found.append(list_validator("alice"))
        assert list_validator("alice") == found[-1]
    assert None not in found
    assert len(set(found)) == len(found)


def test_a_lists_validator_stays_when_others_change_their_sessions(db_session):
    create()
    before = list_validator("alice")
    chat = create("bob")
    run_write(delete_session, chat.id, owner_id="bob")
    assert list_validator("alice") == before


def test_a_sessions_validator_changes_with_the_session_and_its_messages(db_session):
    chat, other = create(), create()
    found = [of_messages(chat)]
    message = append(chat)
    found.append(of_messages(chat))
    for change in (
        lambda: edit(chat, message),
        lambda: rate(chat, message),
        lambda: append(chat),
        lambda: rename(chat),
    ):
        change()
        found.append(of_messages(chat))
    rename(other)
    append(other)
    assert of_messages(chat) == found[-1]
    assert None not in found
    assert len(set(found)) == len(found)


def test_a_session_that_the_owner_does_not_see_has_no_validator(db_session):
    chat = create("bob")
    assert of_messages(chat) is None
    assert messages_validator(UUID(MISSING_ID), owner_id="alice") is None


def test_without_the_row_of_the_feed_nothing_has_a_validator(db_session):
    chat = create()
    db.session.execute(text("DELETE FROM change_feed"))
    db.session.commit()
    assert list_validator("alice") is None
    assert of_messages(chat) is None


@pytest.mark.parametrize("kind", ["lists", "messages"])
def test_a_validator_takes_one_statement_and_no_scan(db_session, database_kind, kind):
    (row, *_) = fill_sessions(2000)

    def read():
        if kind == "lists":
            return list_validator("alice")
        return messages_validator(row["id"], owner_id="alice")

    assert len(statements_of_read(read)) == 1
    plan = plan_of(database_kind, read, avoids_scans=True)
    for table in ("sessions", "message_changes", "session_tombstones"):
        assert f"SCAN {table}'" not in plan
        assert f"Seq Scan on {table}" not in plan


def test_a_page_has_the_validator_of_its_list(db_session):
    for _ in range(2):  # an empty page has a validator too
        expected = list_validator("alice")
        for pinned_first in (False, True):
            listing = SessionListing(pinned_first=pinned_first)
            page = list_sessions(owner_id="alice", limit=2, listing=listing)
            assert page.validator == expected
        assert list_tags(owner_id="alice", limit=2).validator == expected
        assert list_models(owner_id="alice", limit=2).validator == expected
        chat = create(metadata_tags=["a"])
    chunk = list_messages(chat.id, owner_id="alice", wanted=MessageRange(limit=1))
    assert chunk.validator == of_messages(chat)


# Transactions that commit in another order than they began


class Reads:
    """What was read with each validator; one validator must mean one content."""

    def __init__(self, validate, read):
        self.validate = validate
        self.read = read
        self.contents = {}

    def look(self):
        db.session.rollback()
        validator = self.validate()
        # Others might commit here: the content may then be newer than its validator.
        content = self.read()
        db.session.rollback()
        if validator is not None:
            assert self.contents.setdefault(validator, content) == content
        return validator


@contextmanager
def two_writers():
    """Begin two transactions, the first of which has the smaller id."""
    db.session.rollback()
    with db.engine.connect() as first, db.engine.connect() as second:
        for writer in (first, second):
            writer.execute(text("SELECT pg_current_xact_id()"))
        yield first, second


def names():
    return sorted(db.session.scalars(select(ChatSession.name)))


def feedback():
    return list(db.session.scalars(select(Message.feedback).order_by(Message.id)))


ORDERS = list(permutations(range(2)))


@on_postgresql
@pytest.mark.parametrize("writes", ORDERS)
@pytest.mark.parametrize("commits", ORDERS)
def test_no_order_of_two_changes_repeats_a_lists_validator(db_session, writes, commits):
    chats = [create(name="0"), create(name="0")]
    reads = Reads(lambda: list_validator("alice"), names)
    assert reads.look()
    rename_now = text("UPDATE sessions SET name = '1' WHERE id = :id")
    with two_writers() as writers:
        for number in writes:
            writers[number].execute(rename_now, {"id": chats[number].id})
            reads.look()
        for number in commits:
            writers[number].commit()
            reads.look()
    last = reads.look()
    assert reads.contents[last] == ["1", "1"]


@on_postgresql
@pytest.mark.parametrize("writes", ORDERS)
@pytest.mark.parametrize("commits", ORDERS)
def test_no_order_of_two_ratings_repeats_a_sessions_validator(
    db_session, writes, commits
):
    chat = create()
    found = [append(chat), append(chat)]
    reads = Reads(lambda: of_messages(chat), feedback)
    assert reads.look()
    rate_now = text("UPDATE chat_messages SET feedback = :f WHERE id = :id")
    with two_writers() as writers:
        for number in writes:
            values = {"f": '{"rating":1}', "id": found[number].id}
            writers[number].execute(rate_now, values)
            reads.look()
        for number in commits:
            writers[number].commit()
            reads.look()
    last = reads.look()
    assert reads.contents[last] == [{"rating": 1}] * 2


@on_postgresql
@pytest.mark.parametrize("commits", ORDERS)
def test_one_row_that_two_transactions_change_repeats_no_validator(db_session, commits):
    chat = create(name="0")
    reads = Reads(lambda: list_validator("alice"), names)
    assert reads.look()
    rename_now = text("UPDATE sessions SET name = :name WHERE id = :id")
    with two_writers() as writers:
        for number in commits:
            writers[number].execute(rename_now, {"name": f"by {number}", "id": chat.id})
            reads.look()
            writers[number].commit()
            reads.look()
    last = reads.look()
    assert reads.contents[last] == [f"by {commits[-1]}"]


@on_postgresql
def test_a_validator_waits_for_older_transactions_only(db_session):
    before = list_validator("alice")
    with two_writers():
        chat = create()
        assert list_validator("alice") is None
        assert of_messages(chat) is None
    found = list_validator("alice")
    assert found not in (None, before)
    with two_writers():
        assert list_validator("alice") == found
        assert of_messages(chat) is not None
