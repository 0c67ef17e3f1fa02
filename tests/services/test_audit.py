from contextlib import contextmanager
from datetime import timedelta
from itertools import count as count_up

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError

from chatstore.access.failed_logins import FailedLogins
from chatstore.app_state import get_from_app
from chatstore.clock import utc_now
from chatstore.db import db, run_write
from chatstore.enums import AuditAction
from chatstore.models import AuditEntry
from chatstore.services.audit import purge_old_entries, write_failed_logins
from chatstore.services.purges import Rules, purge
from chatstore.store.audit import record_act
from tests.support import SESSIONS, count
from tests.support.access import bearer
from tests.support.statements import recorded_statements


def test_failed_logins_are_written_later_and_counted(make_app, clock):
    app = make_app(auth="api-key", failed_logins_per_minute=2)
    client = app.test_client()
    for status in (401, 401, 429):
        assert client.get(SESSIONS, headers=bearer("chs_no")).status_code == status
    assert client.get(SESSIONS).status_code == 401  # no login was tried
    with app.app_context():
        assert db.session.scalars(select(AuditEntry)).all() == []
        minute = utc_now().replace(second=0, microsecond=0)
        clock.now += timedelta(minutes=1)
        write_failed_logins(get_from_app(FailedLogins))
        entry = db.session.scalars(select(AuditEntry)).one()
        assert (entry.action, entry.actor, entry.address, entry.details, entry.at) == (
            "login.failed",
            "unknown",
            "127.0.0.1",
            {"count": 3},
            minute,
        )


def test_failed_logins_are_written_in_batches(db_session, clock):
    failed = FailedLogins()
    for host in range(5):
        failed.note(f"192.0.2.{host}", clock.now - timedelta(minutes=1))
    with recorded_statements() as statements:
        write_failed_logins(failed, batch=2)
    assert len([each for each in statements if each.startswith("BEGIN")]) <= 3
    assert len([each for each in statements if each.startswith("INSERT")]) == 5
    assert count(db_session, AuditEntry) == 5
    with recorded_statements() as statements:
        write_failed_logins(failed)
    assert statements == []


def test_failed_logins_that_cannot_be_written_are_written_later(app, clock):
    failed = FailedLogins()
    for host in range(5):
        failed.note(f"192.0.2.{host}", clock.now - timedelta(minutes=1))
    with app.app_context():
        with failing_insert(number=4), pytest.raises(DBAPIError):
            write_failed_logins(failed, batch=2)
        assert count(db.session, AuditEntry) == 2
        db.session.rollback()
        write_failed_logins(failed, batch=2)
        db.session.rollback()
        found = db.session.scalars(select(AuditEntry.address)).all()
        assert sorted(found) == [f"192.0.2.{host}" for host in range(5)]


@contextmanager
def failing_insert(number):
    """Let the database refuse the given INSERT of the block."""
    inserts = count_up(1)

    def refuse(connection, cursor, statement, parameters, *_):
        if statement.startswith("INSERT") and next(inserts) == number:
            statement = "INSERT INTO no_such_table VALUES (1)"
            parameters = ()
        return statement, parameters

    event.listen(db.engine, "before_cursor_execute", refuse, retval=True)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", refuse)


def test_old_entries_are_purged_each_hour_unless_all_are_kept(db_session, clock):
    run_write(record_act, AuditAction.KEY_ISSUED, actor="old")
    clock.now += timedelta(days=2)
    run_write(record_act, AuditAction.KEY_ISSUED, actor="new")
    purge(Rules(trash_seconds=1, audit_days=0))
    assert len(db_session.scalars(select(AuditEntry)).all()) == 2
    clock.now += timedelta(hours=1)
    purge(Rules(trash_seconds=1, audit_days=2))
    db_session.rollback()
    assert db_session.scalars(select(AuditEntry.actor)).all() == ["new"]
    assert purge_old_entries(audit_days=1) == 0
