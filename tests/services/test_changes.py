from datetime import timedelta

import sqlalchemy as sa
from click.testing import CliRunner

from chatstore.cli import main
from chatstore.clock import utc_now
from chatstore.db import db, run_write, transaction
from chatstore.models import ChangeFeed, SessionTombstone
from chatstore.services.changes import list_changes, purge_old_tombstones
from chatstore.store.deletions import delete_sessions
from tests.support import count, wait_for_transactions


def list_of(after=None):
    wait_for_transactions()
    return list_changes("alice", after=after, limit=10, tombstone_days=30)


def test_a_feed_without_its_row_begins_anew(db_session, make_session):
    with transaction():
        db.session.execute(sa.delete(ChangeFeed))
    start = list_of().next
    assert count(db.session, ChangeFeed) == 1
    db.session.rollback()  # later reads need a snapshot of their own
    assert list_of(start).changes == []
    make_session(owner_id="alice")
    assert len(list_of(start).changes) == 1


def bury(make_session, *ages):
    """Delete a session per age, that many days ago."""
    chats = [make_session() for _ in ages]
    run_write(delete_sessions, sa.true())
    with transaction():
        for chat, age in zip(chats, ages, strict=True):
            db.session.execute(
                sa.update(SessionTombstone)
                .where(SessionTombstone.session_id == chat.id)
                .values(deleted_at=utc_now() - timedelta(days=age))
            )


def test_tombstones_stay_a_day_longer_than_tokens(db_session, make_session):
    bury(make_session, 0, 30.9, 31.1, 400)
    assert purge_old_tombstones(tombstone_days=30) == 2
    assert purge_old_tombstones(tombstone_days=30) == 0
    assert count(db.session, SessionTombstone) == 2


def test_the_purge_takes_as_many_batches_as_it_needs(db_session, make_session):
    bury(make_session, *[40] * 5)
    is_sqlite = db.engine.dialect.name == "sqlite"
    values = "printf('%032x', n)" if is_sqlite else "gen_random_uuid()"
    with transaction():
        db.session.execute(
            sa.text(
                "WITH RECURSIVE numbers (n) AS"
                " (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1001)"
                " INSERT INTO session_tombstones"
                f" SELECT {values}, 'alice', 1, deleted_at, 1 FROM numbers,"
                " (SELECT min(deleted_at) AS deleted_at FROM session_tombstones) AS t"
            )
        )
    assert purge_old_tombstones(tombstone_days=30) == 1006


def test_the_command_purges_by_the_setting(db_session, make_session, database_url):
    bury(make_session, 3, 20)
    db.session.rollback()
    environ = {
        "CHATSTORE_DATABASE_URL": database_url,
        "CHATSTORE_SECRET_KEY": "s",
        "CHATSTORE_TOMBSTONE_DAYS": "5",
    }
    result = CliRunner().invoke(main, ["purge", "tombstones"], env=environ)
    assert (result.exit_code, result.stdout) == (0, "purged 1 tombstone\n")
    assert count(db.session, SessionTombstone) == 1
