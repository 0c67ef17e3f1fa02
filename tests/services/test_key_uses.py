from datetime import timedelta

import pytest
from sqlalchemy import text

from chatstore.access.key_uses import KeyUses
from chatstore.clock import utc_now
from chatstore.db import db, run_write
from chatstore.enums import Scope
from chatstore.services.background import background_worker_of
from chatstore.services.key_uses import write_key_uses
from chatstore.store.keys import create_key, get_key, list_keys
from tests.support import API, on_sqlite, wait_for_deletions
from tests.support.access import keyed_client


def make_key():
    return run_write(create_key, owner_id="alice", scope=Scope.READ)[1].id


def last_used(key_id):
    db.session.remove()
    return get_key(key_id).last_used_at


def test_uses_are_written_in_batches(app):
    uses, now = KeyUses(), utc_now()
    with app.app_context():
        ids = [make_key() for _ in range(3)]
        for key_id in ids:
            uses.note(key_id, now)
        write_key_uses(uses, batch=2)
        assert [last_used(key_id) for key_id in ids] == [now] * 3
    assert uses.take() == {}


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_uses_that_could_not_be_written_are_kept(app):
    uses, now = KeyUses(), utc_now()
    with app.app_context():
        key_id = make_key()
        obstacle = (
            "CREATE TRIGGER obstacle BEFORE UPDATE ON api_keys"
            " BEGIN SELECT raise(ABORT, 'not now'); END"
        )
        run_write(db.session.execute, text(obstacle))
        uses.note(key_id, now)
        with pytest.raises(Exception, match="not now"):
            write_key_uses(uses)
        run_write(db.session.execute, text("DROP TRIGGER obstacle"))
        write_key_uses(uses)
        assert last_used(key_id) == now


@on_sqlite
def test_the_background_worker_writes_when_a_key_was_used(make_app):
    app = make_app(auth="api-key")
    keyed_client(app, "alice").get(f"{API}/me")
    background_worker_of(app).start()
    wait_for_deletions()
    with app.app_context():
        (key,) = list_keys(limit=2)
        assert key.last_used_at > utc_now() - timedelta(minutes=1)
