import logging
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from chatstore import metrics
from chatstore.db import db, run_write
from chatstore.models import ChatSession, Job, Message, SessionTombstone
from chatstore.services.background import background_worker_of
from chatstore.services.purges import Rules, compact_index, purge, purge_matching
from chatstore.store import jobs
from chatstore.store.purges import is_unused
from chatstore.store.sessions import update_session
from chatstore.store.trash import trash_session
from tests.support import LiveServer, count, wait_for_deletions, wait_until

DAY = timedelta(days=1)
RULES = Rules(trash_seconds=86_400)
ALICE = {"owner_id": "alice"}


@pytest.fixture
def trashed(db_session, make_session):
    """Put a session with messages into the trash; return its id."""

    def make(messages=2):
        chat = make_session(owner_id="alice", messages=messages)
        run_write(trash_session, chat.id, **ALICE)
        return chat.id

    return make


def rows():
    db.session.remove()
    return count(db.session, ChatSession), count(db.session, Message)


def purged(reason):
    name = "chatstore_sessions_purged_total"
    return metrics.registry.get_sample_value(name, {"reason": reason}) or 0


def test_a_pass_purges_what_is_due_and_nothing_else(trashed, make_session, clock):
    trashed()
    expiring = make_session(owner_id="alice", expires_at=clock.now + DAY, messages=1)
    make_session(owner_id="alice", messages=1)
    assert purge(RULES) == {}
    assert rows() == (3, 4)
    clock.now += DAY
    trashed()
    before = purged("trash"), purged("expired"), purged("retention")
    assert purge(RULES) == {"trash": 1, "expired": 1}
    assert rows() == (2, 3)
    assert db.session.get(ChatSession, expiring.id) is None
    after = purged("trash"), purged("expired"), purged("retention")
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 0]
    assert purge(RULES) == {}


def test_a_pass_purges_unused_sessions_if_it_is_told(db_session, make_session, clock):
    for owner_id in ("alice", "bob"):
        make_session(owner_id=owner_id, messages=1)
    pinned = make_session(owner_id="bob")
    run_write(update_session, pinned.id, owner_id="bob", changes={"pinned": True})
    clock.now += 2 * DAY
    make_session(owner_id="bob", messages=1)
    assert purge(RULES) == {}
    assert purge(Rules(86_400, retention_days=1)) == {}  # within the same hour
    clock.now += timedelta(hours=1)
    assert purge(Rules(86_400, retention_days=1)) == {"retention": 2}
    assert rows() == (2, 1)


def test_more_than_a_batch_is_purged_in_several(trashed):
    for _ in range(5):
        trashed(messages=1)
    assert purge(Rules(trash_seconds=0), batch=2) == {"trash": 5}
    assert rows() == (0, 0)


def test_a_pass_that_did_something_writes_one_line(trashed, caplog):
    caplog.set_level(logging.INFO)
    purge(RULES)
    assert "sessions purged" not in caplog.text
    trashed()
    purge(Rules(trash_seconds=0))
    (line,) = [each for each in caplog.messages if "sessions purged" in each]
    assert "trash" in line and "1" in line


def test_one_server_at_a_time_makes_a_pass(trashed):
    trashed()
    run_write(jobs.claim, "purge", "another server")
    assert purge(Rules(trash_seconds=0)) == {}
    assert rows() == (1, 2)
    run_write(jobs.release, "purge", "another server")
    assert purge(Rules(trash_seconds=0)) == {"trash": 1}
    holder = select(Job.holder).where(Job.name == "purge")
    assert db.session.scalar(holder) is None


def test_old_tombstones_are_purged_once_an_hour(db_session, clock):
    def bury(days):
        tombstone = SessionTombstone(session_id=uuid4(), owner_id="alice")
        tombstone.change_id = tombstone.revision = 1
        tombstone.deleted_at = clock.now - timedelta(days=days)
        db.session.add(tombstone)
        db.session.commit()

    bury(days=30)
    purge(RULES)
    bury(days=40)
    purge(RULES)
    assert count(db.session, SessionTombstone) == 2
    clock.now += timedelta(hours=1)
    purge(RULES)
    assert count(db.session, SessionTombstone) == 1


def test_what_a_command_chooses_is_purged(db_session, make_session, clock):
    for _ in range(3):
        make_session(owner_id="alice", messages=1)
    clock.now += 2 * DAY
    make_session(owner_id="alice")
    told = []
    assert purge_matching(lambda: is_unused("alice", 1), told.append) == 3
    assert (told, rows()) == ([3], (1, 0))


def test_the_log_of_sqlite_is_cut_off(db_session, trashed, database_url):
    trashed()
    compact_index()
    if database_url.startswith("sqlite"):
        with open(f"{database_url.removeprefix('sqlite:///')}-wal", "rb") as log:
            assert log.read() == b""


def test_a_thread_purges_only_in_a_server(app, trashed, database_url, tmp_path):
    trashed()
    background_worker_of(app).start()
    wait_for_deletions()
    assert rows() == (1, 2)
    settings = {"database_url": database_url, "trash_seconds": "0"}
    with LiveServer(tmp_path, **settings) as server:
        wait_until(lambda: rows() == (0, 0))
        wait_until(lambda: b'purged_total{reason="trash"} 1.0' in metrics_of(server))


def metrics_of(server):
    return server.request("GET", "/metrics").data
