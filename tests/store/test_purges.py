from datetime import timedelta

import pytest
from sqlalchemy import update

from chatstore.db import db, run_write, transaction
from chatstore.models import ChatSession
from chatstore.store import purges
from chatstore.store.deletions import count_hidden
from chatstore.store.filters import SessionFilters
from chatstore.store.sessions import update_session
from chatstore.store.trash import restore_session, trash_session
from tests.support import on_sqlite
from tests.support.statements import plan_of

DAY = timedelta(days=1)


def purge(condition):
    return run_write(purges.purge_due, purges.find_due(condition), condition)


def test_a_session_is_due_when_its_time_in_the_trash_is_over(
    db_session, make_session, clock
):
    chats = [make_session(owner_id="alice") for _ in range(2)]
    for chat in chats:
        run_write(trash_session, chat.id, owner_id="alice")
        clock.now += DAY
    assert purges.find_due(purges.was_trashed(3 * 86_400)) == []
    assert purges.find_due(purges.was_trashed(86_400 + 60)) == [chats[0].id]
    assert purges.count_due(86_400) == 2
    assert purge(purges.was_trashed(86_400 + 60)) == 1
    assert (count_hidden(), purges.count_due(0)) == (1, 1)


def test_what_was_restored_meanwhile_stays(db_session, make_session):
    chat = make_session(owner_id="alice")
    run_write(trash_session, chat.id, owner_id="alice")
    condition = purges.was_trashed(0)
    found = purges.find_due(condition)
    run_write(restore_session, chat.id, owner_id="alice")
    assert run_write(purges.purge_due, found, condition) == 0
    assert count_hidden() == 0


def test_a_session_is_due_when_it_expires(db_session, make_session, clock):
    chat = make_session(owner_id="alice", expires_at=clock.now + DAY)
    make_session(owner_id="alice")
    assert purges.find_due(purges.has_expired()) == []
    clock.now += DAY
    assert purges.find_due(purges.has_expired()) == [chat.id]
    run_write(trash_session, chat.id, owner_id="alice")
    assert purge(purges.has_expired()) == 1
    assert purges.find_due(purges.has_expired()) == []


def test_unused_sessions_are_due_but_pinned_ones(db_session, make_session, clock):
    unused, pinned, trashed = (make_session(owner_id="alice") for _ in range(3))
    make_session(owner_id="bob")
    changes = {"pinned": True}
    run_write(update_session, pinned.id, owner_id="alice", changes=changes)
    run_write(trash_session, trashed.id, owner_id="alice")
    clock.now += 2 * DAY
    make_session(owner_id="alice", messages=1)
    assert purges.find_due(purges.is_unused("alice", 1)) == [unused.id]
    assert purges.find_due(purges.is_unused("alice", 3)) == []


def test_each_owner_comes_once(db_session, make_session):
    for owner_id in ("bob", "alice", "bob", "é"):
        make_session(owner_id=owner_id)
    hidden = make_session(owner_id="carol")
    run_write(trash_session, hidden.id, owner_id="carol")
    assert sorted(purges.each_owner()) == ["alice", "bob", "é"]


def test_sessions_are_chosen_by_the_filters_of_the_list(db_session, make_session):
    chats = {
        name: make_session(owner_id="alice", name=name, metadata_tags=[tag])
        for name, tag in (("a", "x"), ("b", "y"), ("c", "x"))
    }
    make_session(owner_id="bob", name="d", metadata_tags=["x"])
    changes = {"pinned": True}
    run_write(update_session, chats["c"].id, owner_id="alice", changes=changes)
    filters = SessionFilters(tag=("x",))
    for includes_pinned, expected in ((False, ["a"]), (True, ["a", "c"])):
        condition = purges.matches(filters, "alice", includes_pinned=includes_pinned)
        assert sorted(x.name for x in purges.list_candidates(condition)) == expected
        assert len(purges.find_due(condition)) == len(expected)


@pytest.mark.parametrize(("size", "found"), [(10, 5), (70_000, 1)])
def test_a_batch_is_bounded_by_what_sessions_hold(
    db_session, make_session, size, found
):
    for _ in range(5):
        make_session(owner_id="alice", metadata={"x": "y" * size})
    with transaction():
        db.session.execute(
            update(ChatSession).values(expires_at=ChatSession.created_at)
        )
    assert len(purges.find_due(purges.has_expired())) == found


@on_sqlite
@pytest.mark.parametrize(
    ("find", "index"),
    [
        (lambda: purges.was_trashed(0), "ix_sessions_trashed_at"),
        (purges.has_expired, "ix_sessions_expires_at"),
        (lambda: purges.is_unused("alice", 1), "ix_sessions_owner_id_last_updated_at"),
    ],
)
def test_due_sessions_are_found_by_an_index(db_session, database_kind, find, index):
    plan = plan_of(database_kind, lambda: purges.find_due(find()))
    assert index in plan and "SCAN" not in plan, plan
