from datetime import timedelta

import pytest

from chatstore.clock import utc_now
from chatstore.enums import Scope
from chatstore.errors import NotFound
from chatstore.store.keys import (
    create_key,
    find_valid_key,
    get_key,
    list_keys,
    revoke_key,
    rotate_key,
    write_uses,
)


def make_key(**columns):
    return create_key(owner_id="alice", scope=Scope.READ, **columns)


def test_a_key_is_stored_without_its_text(db_session):
    text, key = make_key(name="bot")
    assert find_valid_key(key.id) is key
    assert text[16:] not in repr(vars(key))


def test_a_revoked_or_expired_key_is_not_valid(db_session):
    _, revoked = make_key()
    _, expired = make_key(expires_at=utc_now() - timedelta(seconds=1))
    revoke_key(revoked.id)
    assert find_valid_key(revoked.id) is None
    assert find_valid_key(expired.id) is None
    assert find_valid_key("missing") is None


def test_rotating_revokes_and_keeps_what_the_key_may_do(db_session):
    end = utc_now() + timedelta(days=1)
    _, old = make_key(name="bot", expires_at=end)
    _, new = rotate_key(old.id)
    assert find_valid_key(old.id) is None
    assert (new.owner_id, new.scope, new.name, new.expires_at) == (
        "alice",
        "read",
        "bot",
        end,
    )
    with pytest.raises(NotFound):
        rotate_key(old.id)


def test_pages_of_keys_follow_their_ids(db_session):
    ids = sorted(make_key()[1].id for _ in range(3))
    create_key(owner_id="bob", scope=Scope.READ)
    first = list_keys(owner_id="alice", limit=2)
    rest = list_keys(owner_id="alice", limit=2, after=first[-1].id)
    assert [key.id for key in (*first, *rest)] == ids


def test_the_last_use_of_a_key_is_the_latest(db_session):
    _, key = make_key()
    now = utc_now()
    write_uses({key.id: now})
    write_uses({key.id: now - timedelta(hours=1), "missing": now})
    db_session.expire_all()
    assert get_key(key.id).last_used_at == now
