from datetime import timedelta

from chatstore.db import db, run_write
from chatstore.enums import Scope
from chatstore.models import ApiKey, Share
from chatstore.services.ended import purge_ended
from chatstore.services.purges import Rules, purge
from chatstore.store.keys import create_key, revoke_key
from chatstore.store.shares import create_share, revoke_share
from tests.support import count
from tests.support.statements import recorded_statements

DAY = timedelta(days=1)


def rows():
    db.session.remove()
    return count(db.session, ApiKey), count(db.session, Share)


def make_keys_and_links(chat, end):
    """Make one valid, one revoked and one expiring key and link."""
    for expires_at in (None, None, end):
        _, key = run_write(
            create_key, owner_id="alice", scope=Scope.READ, expires_at=expires_at
        )
        _, share = run_write(
            create_share,
            chat.id,
            owner_id="alice",
            max_shares=9,
            expires_at=expires_at,
        )
        key_id, share_id = key.id, share.id
        if expires_at is None and rows() == (2, 2):
            run_write(revoke_key, key_id)
            run_write(revoke_share, chat.id, share_id, owner_id="alice")


def test_what_has_ended_is_purged_with_the_audit_log(db_session, make_session, clock):
    make_keys_and_links(make_session(owner_id="alice"), clock.now + DAY)
    clock.now += 2 * DAY
    purge(Rules(trash_seconds=1, audit_days=3))
    assert rows() == (3, 3)
    clock.now += 2 * DAY
    purge(Rules(trash_seconds=1, audit_days=0))
    assert rows() == (3, 3)
    clock.now += timedelta(hours=1)
    purge(Rules(trash_seconds=1, audit_days=3))
    assert rows() == (1, 1)


def test_each_transaction_purges_a_batch(db_session, clock):
    for _ in range(5):
        run_write(
            create_key, owner_id="a", scope=Scope.READ, expires_at=clock.now + DAY
        )
    clock.now += 3 * DAY
    db.session.remove()
    with recorded_statements() as statements:
        assert purge_ended(days=1, batch=2) == 5
    assert len([each for each in statements if each.startswith("DELETE")]) == 3
    with recorded_statements() as statements:
        assert purge_ended(days=1) == 0
    assert all(each.startswith(("SELECT", "BEGIN", "SET")) for each in statements)
