"""The change feed as the store reads it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
import sqlalchemy as sa

from chatstore.db import db, run_write, transaction
from chatstore.errors import TokenExpired
from chatstore.models import ChangeFeed, ChatSession, Message, SessionTombstone
from chatstore.models.sessions import TRASH_OWNER
from chatstore.store.changes import (
    FeedMissing,
    FeedPosition,
    Kind,
    create_feed,
    current_position,
    last_change_ids,
    purge_tombstones,
    read_changes,
)
from chatstore.store.edits import edit_message
from chatstore.store.feedback import set_feedback
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session, delete_session
from tests.support import on_postgresql, wait_for_transactions
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


def last_change_of(owner_id):
    wait_for_transactions()
    return last_change_ids([owner_id])[owner_id]


# The last change of each owner


def test_the_last_change_of_each_owner_is_the_greatest_of_all_kinds(db_session):
    chat, other = create(), create("bob")
    numbers = [change_id_of(chat)]
    wait_for_transactions()
    assert last_change_ids(["alice", "bob", "carol"]) == {
        "alice": numbers[0],
        "bob": change_id_of(other),
        "carol": 0,
    }
    message = append(chat)
    numbers.append(last_change_of("alice"))
    changes = {"content": "Hi"}
    run_write(edit_message, chat.id, message.id, owner_id="alice", changes=changes)
    numbers.append(last_change_of("alice"))
    run_write(delete_session, chat.id, owner_id="alice")
    numbers.append(last_change_of("alice"))
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
    wait_for_transactions()
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
    assert last_change_of("alice") > before


# Pages of changes


@pytest.fixture(autouse=True)
def feed(db_session):
    """The row of the feed, which an emptied database lacks."""
    run_write(create_feed)


def now(owner_id="alice"):
    wait_for_transactions()
    return current_position(owner_id)


def read(after, **options):
    """Read a page once all that has committed can be told."""
    wait_for_transactions()
    return read_at_once(after, **options)


def read_at_once(after, *, limit=100, owner_id="alice", tombstone_days=30):
    page = read_changes(
        owner_id, after=after, limit=limit, tombstone_days=tombstone_days
    )
    return page, [orjson.loads(each) for each in page.changes]


def changes_since(after, **options):
    return read(after, **options)[1]


def session_entry(chat, **others):
    db.session.rollback()
    db.session.expire_all()
    row = db.session.get(ChatSession, chat.id)
    return {
        "kind": "session",
        "session_id": str(row.id),
        "revision": row.revision,
        "last_seq": row.last_seq,
        "head_seq": row.shown_head_seq,
    } | others


def deleted_entry(chat):
    return {"kind": "session", "session_id": str(chat.id), "deleted": True}


def test_now_is_before_nothing(db_session):
    create()
    page, changes = read(now())
    assert (changes, page.has_more) == ([], False)


def test_an_owner_without_changes_has_a_position_too(db_session):
    create("bob")
    start = now()
    chat = create()
    assert changes_since(start) == [session_entry(chat, is_new=True)]


def test_a_session_is_told_once_as_it_is_now(db_session):
    old = create()
    start = now()
    chat = create()
    append(chat)
    append(old)
    append(chat)
    assert changes_since(start) == [
        session_entry(old),
        session_entry(chat, is_new=True, last_seq=2, head_seq=2),
    ]


def test_an_empty_session_has_no_head(db_session):
    start = now()
    create()
    assert [each["head_seq"] for each in changes_since(start)] == [None]


def test_changed_messages_are_told(db_session):
    chat = create()
    first, second = append(chat), append(chat)
    start = now()
    changes = {"content": "Hi"}
    run_write(edit_message, chat.id, second.id, owner_id="alice", changes=changes)
    feedback = {"rating": 1}
    run_write(set_feedback, chat.id, first.id, owner_id="alice", feedback=feedback)
    messages = [each for each in changes_since(start) if each["kind"] == "message"]
    assert messages == [
        {"kind": "message", "session_id": str(chat.id), "seq": 2, "revision": 2},
        {"kind": "message", "session_id": str(chat.id), "seq": 1, "revision": 1},
    ]


def test_a_deleted_session_is_told(db_session):
    chat = create()
    start = now()
    run_write(delete_session, chat.id, owner_id="alice")
    assert changes_since(start) == [deleted_entry(chat)]


def test_nothing_of_another_owner_is_told(db_session):
    start = now()
    chat = create("bob")
    message = append(chat, owner_id="bob")
    changes = {"content": "Hi"}
    run_write(edit_message, chat.id, message.id, owner_id="bob", changes=changes)
    run_write(delete_session, chat.id, owner_id="bob")
    assert changes_since(start) == []


def test_pages_go_on_where_the_last_one_ended(db_session):
    gone = create()
    chats = [create() for _ in range(3)]
    messages = [append(chats[0]) for _ in range(5)]
    place = start = now()
    for message in messages:
        run_write(
            edit_message,
            chats[0].id,
            message.id,
            owner_id="alice",
            changes={"content": "Hi"},
        )
    # PostgreSQL numbers these changes alike.
    with transaction():
        db.session.execute(sa.update(ChatSession).values(pinned=True))
        db.session.execute(sa.update(Message).values(content="Ho"))
        db.session.execute(sa.delete(ChatSession).where(ChatSession.id == gone.id))
    whole = changes_since(start)
    assert len(whole) == 9
    for limit in (1, 2, 3, 8):
        found, place, sizes = [], start, []
        while True:
            page, changes = read(place, limit=limit)
            found += changes
            sizes.append(len(changes))
            place = page.next
            if not page.has_more:
                break
        assert found == whole
        assert all(sizes) and max(sizes) == limit
    assert changes_since(place) == []


def test_a_page_stays_with_the_time_of_its_first_token_until_the_end(db_session, clock):
    start = now()
    create(), create()
    clock.now += timedelta(hours=1)
    page, _ = read(start, limit=1)
    assert (page.has_more, page.next.issued_at) == (True, start.issued_at)
    page, _ = read(page.next, limit=1)
    assert not page.has_more
    assert page.next.issued_at > start.issued_at + timedelta(hours=1)


def hide(chat):
    values = {"owner_id": TRASH_OWNER, "former_owner_id": "alice"}
    change(chat, **values)


def restore(chat):
    change(chat, owner_id="alice", former_owner_id=None)


def change(chat, **values):
    with transaction():
        own = ChatSession.id == chat.id
        db.session.execute(sa.update(ChatSession).where(own).values(values))


def test_a_message_change_of_a_hidden_session_tells_that_it_is_gone(db_session):
    chat, other = create(), create()
    message = append(chat)
    start = now()
    edit = {"content": "Hi"}
    run_write(edit_message, chat.id, message.id, owner_id="alice", changes=edit)
    change(other, pinned=True)
    hide(chat)
    page, changes = read(start, limit=1)
    assert changes == [deleted_entry(chat)]
    # A follower that skipped the message now would never read it.
    restore(chat)
    assert changes_since(page.next) == [session_entry(other), session_entry(chat)]


def test_a_session_that_came_back_is_told_without_its_deletion(db_session):
    chat = create()
    start = now()
    hide(chat)
    assert changes_since(start) == [deleted_entry(chat)]
    restore(chat)
    assert changes_since(start) == [session_entry(chat)]


def test_an_id_that_is_used_again_is_new(db_session, clock):
    chat = create()
    start = now()
    run_write(delete_session, chat.id, owner_id="alice")
    create(session_id=chat.id)
    assert changes_since(start) == [session_entry(chat, is_new=True)]
    # Even if the clock went back.
    with transaction():
        past = start.issued_at - timedelta(days=1)
        db.session.execute(sa.update(ChatSession).values(created_at=past))
    assert changes_since(start) == [session_entry(chat, is_new=True)]


def test_another_owner_who_uses_the_id_hides_no_deletion(db_session):
    chat = create()
    start, of_bob = now(), now("bob")
    run_write(delete_session, chat.id, owner_id="alice")
    create("bob", session_id=chat.id)
    assert changes_since(start) == [deleted_entry(chat)]
    run_write(delete_session, chat.id, owner_id="bob")
    assert changes_since(start) == [deleted_entry(chat)]
    assert changes_since(of_bob, owner_id="bob") == [deleted_entry(chat)]


# Tokens that expire


def test_a_position_older_than_the_tombstones_is_refused(db_session, clock):
    start = now()
    clock.now += timedelta(days=30, seconds=-10)
    assert changes_since(start) == []
    clock.now += timedelta(seconds=20)
    with pytest.raises(TokenExpired, match="30 days"):
        read(start)
    assert changes_since(start, tombstone_days=31) == []


def test_a_position_of_another_feed_is_refused(db_session):
    with pytest.raises(TokenExpired, match="restored"):
        read(replace(now(), feed_id=uuid4()))


def test_a_position_that_this_database_has_not_reached_is_refused(db_session):
    create()
    with pytest.raises(TokenExpired, match="restored"):
        read(replace(now(), change_id=10**12))


def test_a_missing_feed_is_created_once(db_session):
    create()
    with transaction():
        db.session.execute(sa.delete(ChangeFeed))
    for work in (now, lambda: read(FeedPosition(**NOWHERE))):
        with pytest.raises(FeedMissing):
            work()
    run_write(create_feed)
    feed_id = now().feed_id
    run_write(create_feed)
    start = now()
    assert start.feed_id == feed_id
    chat = create()
    assert changes_since(start)[-1] == session_entry(chat, is_new=True)


NOWHERE = {
    "feed_id": uuid4(),
    "change_id": 0,
    "kind": Kind.ALL,
    "key": None,
    "issued_at": datetime(2026, 1, 1, tzinfo=UTC),
}


# The horizon of PostgreSQL


@on_postgresql
def test_a_position_does_not_pass_transactions_that_did_not_commit(db_session):
    create()
    start = now()
    for _ in range(3):
        with db.engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_current_xact_id()"))
    create("bob")
    page, _ = read(start)
    # After a crash PostgreSQL may use their ids again.
    assert replace(page.next, issued_at=start.issued_at) == start
    assert now().change_id == start.change_id


@on_postgresql
def test_a_commit_out_of_order_is_not_missed(db_session):
    old = [create(), create()]
    start = now()
    insert = "UPDATE sessions SET pinned = true WHERE id = :id"
    with db.engine.connect() as first, db.engine.connect() as second:
        first.execute(sa.text(insert), {"id": old[0].id})
        second.execute(sa.text(insert), {"id": old[1].id})
        second.commit()
        # The first transaction began before and is not complete.
        page, changes = read_at_once(start)
        assert changes == []
        first.commit()
    page, changes = read(page.next)
    assert changes == [session_entry(old[0]), session_entry(old[1])]
    assert changes_since(page.next) == []


@on_postgresql
def test_a_row_that_gets_a_smaller_number_later_is_told_again(db_session):
    chat = create()
    start = now()
    query = "UPDATE sessions SET name = :name WHERE id = :id"
    with db.engine.connect() as first:
        first.execute(sa.text("SELECT pg_current_xact_id()"))
        change(chat, name="second")
        assert read_at_once(start)[1] == []
        first.execute(sa.text(query), {"name": "first", "id": chat.id})
        first.commit()
    page, changes = read(start)
    assert changes == [session_entry(chat)]
    change(chat, name="third")
    assert changes_since(page.next) == [session_entry(chat)]


# Tombstones


def test_old_tombstones_are_purged(db_session, clock):
    chats = [create() for _ in range(3)]
    for chat in chats:
        run_write(delete_session, chat.id, owner_id="alice")
    db.session.rollback()
    instants = sa.select(SessionTombstone.deleted_at)
    last = max(db.session.scalars(instants))
    with transaction():
        is_last = SessionTombstone.session_id == chats[2].id
        newer = sa.update(SessionTombstone).where(is_last)
        db.session.execute(newer.values(deleted_at=last + timedelta(days=1)))
    before = last + timedelta(seconds=1)
    assert run_write(purge_tombstones, before=before) == 2
    assert run_write(purge_tombstones, before=before) == 0
    assert db.session.scalars(sa.select(SessionTombstone.session_id)).all() == [
        chats[2].id
    ]


# Query plans


@pytest.fixture
def crowd(db_session, database_kind):
    """10,000 sessions of two owners, each with a changed message; 10,000 tombstones."""
    rows = fill_sessions(5000) + fill_sessions(5000, owner_id="bob", seed=1)
    messages = [
        {
            "session_id": row["id"],
            "seq": 1,
            "timestamp": row["created_at"],
            "role": "user",
            "content": "Hello",
        }
        for row in rows
    ]
    with transaction():
        db.session.execute(sa.insert(Message), messages)
        db.session.execute(sa.update(Message).values(content="Hi"))
        tombstones = [
            {
                "session_id": uuid4(),
                "owner_id": row["owner_id"],
                "change_id": number,
                "deleted_at": row["created_at"],
                "revision": 1,
            }
            for number, row in enumerate(rows, 1)
        ]
        db.session.execute(sa.insert(SessionTombstone), tombstones)
    if database_kind == "postgresql":
        with transaction():
            db.session.execute(sa.text("ANALYZE"))


# The tables of the feed, and the indexes that the feed reads in order.
INDEXES = {
    "sessions": "ix_sessions_changes",
    "message_changes": "ix_message_changes_owner_id_change_id_message_id",
    "session_tombstones": "ix_session_tombstones_owner_id_change_id_session_id",
}


def assert_no_scan(plan):
    assert all(index in plan for index in INDEXES.values()), plan
    for table in (*INDEXES, "chat_messages"):
        assert f"Seq Scan on {table}" not in plan, plan
        assert f"'SCAN {table}" not in plan, plan


def test_last_changes_are_looked_up_in_an_index(crowd, database_kind):
    found = plan_of(database_kind, lambda: last_change_ids(["alice", "bob"]))
    assert_no_scan(found)
    assert "TEMP B-TREE" not in found and "Sort Key" not in found, found


def test_a_page_reads_no_more_than_it_shows(crowd, database_kind):
    start = replace(now(), change_id=0, kind=Kind.SESSION, key=uuid4())
    found = plan_of(database_kind, lambda: read(start))
    assert_no_scan(found)
