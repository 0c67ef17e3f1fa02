from datetime import timedelta

from chatstore.access.key_uses import LoginUses
from chatstore.app_state import get_from_app
from chatstore.clock import utc_now
from chatstore.db import run_write
from chatstore.enums import Scope
from chatstore.models import LoginSession
from chatstore.services.logins import keep_logins
from chatstore.store.logins import create_login
from tests.support import count
from tests.support.access import issue_key
from tests.support.statements import recorded_statements


def log_in(app):
    key = issue_key(app, "alice", Scope.READ)
    return run_write(create_login, key[4:16], lifetime=timedelta(days=1))[1].id


def test_the_last_use_is_written_and_forgotten(app, db_session):
    login_id, later = log_in(app), utc_now() + timedelta(minutes=5)
    uses = get_from_app(LoginUses)
    uses.note(login_id, later)
    keep_logins()
    db_session.expire_all()
    assert db_session.get(LoginSession, login_id).last_seen_at == later
    assert uses.take() == {}


def test_expired_logins_are_deleted(app, db_session, clock):
    log_in(app)
    clock.now += timedelta(days=1)
    login_id = log_in(app)
    keep_logins()
    assert [each.id for each in db_session.query(LoginSession)] == [login_id]


def test_nothing_is_written_if_there_is_nothing_to_keep(app, db_session):
    log_in(app)
    with recorded_statements() as statements:
        keep_logins()
    assert count(db_session, LoginSession) == 1
    assert not any(each.startswith(("UPDATE", "DELETE")) for each in statements)
