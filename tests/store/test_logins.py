from datetime import timedelta

import pytest

from chatstore.access.secret_tokens import LOGIN_PREFIX, new_token, parse_token
from chatstore.clock import utc_now
from chatstore.enums import Scope
from chatstore.errors import Unauthorized
from chatstore.models import LoginSession
from chatstore.store import logins
from chatstore.store.keys import create_key, revoke_key
from tests.support import count, on_sqlite
from tests.support.statements import plan_of, recorded_statements

DAY = timedelta(days=1)


@pytest.fixture
def key(db_session):
    return create_key(owner_id="alice", scope=Scope.READ)[1]


def log_in(key, **options):
    return logins.create_login(key.id, lifetime=14 * DAY, **options)


def is_valid(login):
    return logins.find_valid_login(login.id, idle=DAY) is not None


def test_a_login_has_what_the_key_may_do_and_is_stored_without_its_text(key):
    text, login = log_in(key)
    assert (login.owner_id, login.scope, login.key_id) == ("alice", "read", key.id)
    assert is_valid(login)
    assert text[16:] not in repr(vars(login))


def test_a_login_ends_when_it_is_too_old_or_was_idle(key, clock):
    clock.step = timedelta(0)
    _, login = log_in(key)
    clock.now += DAY
    assert is_valid(login)
    clock.now += timedelta(minutes=2)
    assert not is_valid(login)
    logins.write_uses({login.id: utc_now(), "missing": utc_now()})
    assert is_valid(login)
    clock.now += 13 * DAY
    logins.write_uses({login.id: utc_now()})
    assert not is_valid(login)


def test_a_login_ends_with_its_key(db_session, key):
    _, login = log_in(key)
    revoke_key(key.id)
    assert not is_valid(login)
    with pytest.raises(Unauthorized):
        log_in(key)
    db_session.delete(key)
    db_session.flush()
    assert not is_valid(login)


def test_a_login_ends_when_its_key_expires(db_session):
    end = utc_now() + timedelta(hours=1)
    _, key = create_key(owner_id="alice", scope=Scope.READ, expires_at=end)
    assert log_in(key)[1].expires_at == end


def test_a_browser_has_one_login(key):
    text, first = log_in(key)
    _, second = log_in(key, replaced=parse_token(LOGIN_PREFIX, text))
    assert not is_valid(first)
    assert is_valid(second)


def test_an_owner_keeps_the_newest_logins(db_session, key, clock):
    first, second, *others = [log_in(key)[1].id for _ in range(logins.MAX_LOGINS + 1)]
    kept = set(db_session.scalars(db_session.query(LoginSession.id).statement))
    assert kept == {second, *others}


def test_a_browser_of_a_full_owner_ends_its_own_login_and_the_oldest(
    db_session, key, clock
):
    ids = [log_in(key)[1].id for _ in range(logins.MAX_LOGINS)]
    _, bobs = create_key(owner_id="bob", scope=Scope.READ)
    text, bobs_login = log_in(bobs)
    _, new = log_in(key, replaced=parse_token(LOGIN_PREFIX, text))
    kept = set(db_session.scalars(db_session.query(LoginSession.id).statement))
    assert kept == {*ids[1:], new.id}


def test_logins_are_locked_in_the_order_of_their_ids(db_session, key, database_kind):
    text, _ = log_in(key)
    works = [
        lambda: log_in(key, replaced=parse_token(LOGIN_PREFIX, text)),
        lambda: logins.delete_logins_of("alice"),
        lambda: (log_in(key), logins.delete_expired([log_in(key)[1].id])),
    ]
    for work in works:
        with recorded_statements() as statements:
            work()
        sent = [each for each in statements if "login_sessions" in each]
        (at,) = [i for i, each in enumerate(sent) if each.startswith("DELETE")]
        order = "ORDER BY login_sessions.id"
        if database_kind == "postgresql":
            order += " FOR UPDATE"
        assert sent[at - 1].endswith(order)


@on_sqlite
def test_ending_logins_does_not_read_the_whole_table(db_session):
    replaced = new_token(LOGIN_PREFIX)[1]
    plan = plan_of("sqlite", lambda: logins._make_room("alice", replaced))
    assert "SEARCH login_sessions" in plan
    assert "SCAN login_sessions" not in plan


def test_ending_all_logins_leaves_those_of_others(db_session, key):
    _, bobs = create_key(owner_id="bob", scope=Scope.READ)
    log_in(key), log_in(key), log_in(bobs)
    assert logins.delete_logins_of("alice") == 2
    assert count(db_session, LoginSession) == 1
