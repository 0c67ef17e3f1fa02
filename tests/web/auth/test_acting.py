import pytest
from sqlalchemy import select

from chatstore.clock import utc_now
from chatstore.db import db
from chatstore.enums import Scope
from chatstore.models import AuditEntry
from tests.support import SESSIONS, assert_problem
from tests.support.access import keyed_client

FOR_ALICE = {"X-Chatstore-Owner": "alice"}


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


def entries(app):
    with app.app_context():
        return db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()


def test_acts_for_an_owner_are_in_the_audit_log_once_an_hour(app, caplog):
    admin = keyed_client(app, "root", Scope.ADMIN)
    caplog.set_level("INFO")
    for _ in range(2):
        admin.post(SESSIONS, json={}, headers=FOR_ALICE)
        admin.get(SESSIONS, headers=FOR_ALICE)
    found = entries(app)
    assert [each.details["method"] for each in found] == ["POST", "GET"]
    for each in found:
        assert (each.action, each.owner_id) == ("owner.acted_for", "alice")
        assert each.actor.startswith("key ")
        assert each.request_id and each.at <= utc_now()
    assert caplog.text.count("acting for an owner") == 4


def test_acting_for_oneself_is_no_act(app):
    admin = keyed_client(app, "alice", Scope.ADMIN)
    assert admin.get(SESSIONS, headers=FOR_ALICE).status_code == 200
    assert entries(app) == []


def test_an_act_that_is_refused_is_not_in_the_log(app):
    bob = keyed_client(app, "bob")
    assert_problem(bob.get(SESSIONS, headers=FOR_ALICE), 403)
    assert entries(app) == []
