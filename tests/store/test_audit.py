import re
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import insert, select, text

from chatstore.db import db, transaction
from chatstore.enums import AuditAction
from chatstore.models import AuditEntry
from chatstore.store.audit import AuditFilters, list_entries, record_act
from tests.support.statements import plan_of


def test_an_act_is_an_entry(db_session):
    record_act(
        AuditAction.KEY_ISSUED, actor="key abc", owner_id="alice", details={"count": 1}
    )
    entry = db_session.scalars(select(AuditEntry)).one()
    assert (entry.action, entry.actor, entry.owner_id) == (
        "key.issued",
        "key abc",
        "alice",
    )
    assert entry.details == {"count": 1}


def test_an_act_that_is_rolled_back_leaves_no_entry(app):
    with app.app_context():
        with pytest.raises(ZeroDivisionError), transaction():
            record_act(AuditAction.KEY_ISSUED, actor="alice")
            raise ZeroDivisionError
        assert db.session.scalars(select(AuditEntry)).all() == []


def test_a_long_address_does_not_fail_the_act(db_session):
    record_act(AuditAction.LOGIN_FAILED, actor="unknown", address="x" * 5000)
    assert db_session.scalars(select(AuditEntry.address)).all() == ["x" * 64]


START = datetime(2026, 1, 1, tzinfo=UTC)


def test_acts_are_listed_by_their_time_and_not_by_their_ids(db_session):
    minutes = (3, 1, 2, 2)
    for number, minute in enumerate(minutes):
        at = START + timedelta(minutes=minute)
        record_act(AuditAction.LOGIN_FAILED, actor=f"{number}", at=at)
    whole = list_entries(AuditFilters(), limit=10)
    assert [entry.actor for entry in whole] == ["0", "3", "2", "1"]
    paged, before = [], None
    while page := list_entries(AuditFilters(), before=before, limit=1):
        paged += page
        before = page[-1].id
    assert paged == whole


def test_after_a_purged_entry_there_is_no_page(db_session):
    record_act(AuditAction.KEY_ISSUED, actor="key abc")
    assert list_entries(AuditFilters(), before=10**9, limit=1) == []


@pytest.fixture
def many_entries(db_session):
    """Add 20,000 entries; one in a thousand has its own actor, owner and action."""
    rows = [
        {
            "at": START + timedelta(minutes=number),
            "action": "rare" if number % 1000 == 0 else "often",
            "actor": "rare" if number % 1000 == 0 else "often",
            "owner_id": "rare" if number % 1000 == 0 else "often",
        }
        for number in range(20_000)
    ]
    db_session.execute(insert(AuditEntry), rows)
    db_session.execute(text("ANALYZE"))
    db_session.commit()


MIDDLE = START + timedelta(minutes=10_000)


FILTERS = [
    {},
    {"since": MIDDLE},
    {"until": MIDDLE},
    {"since": MIDDLE, "until": MIDDLE + timedelta(minutes=1)},
    {"actor": "nobody"},
    *(
        {name: value, **more}
        for name in ("actor", "owner_id", "action")
        for value in ("rare", "often")
        for more in ({}, {"since": MIDDLE}, {"until": MIDDLE})
    ),
]


def test_a_page_reads_its_own_entries_only(db_session, many_entries, database_kind):
    last = db_session.scalar(select(AuditEntry.id).where(AuditEntry.at == MIDDLE))
    for filters, before in product(FILTERS, (None, last)):
        # A default value binds the loop's values of now.
        def read(filters=filters, before=before):
            list_entries(AuditFilters(**filters), before=before, limit=10)

        plan = plan_of(database_kind, read)
        assert "ix_audit_entries_" in plan
        # A sort of many entries or a filter would read more than the page has.
        assert "TEMP B-TREE" not in plan
        assert "Seq Scan" not in plan
        removed = re.findall(r"Removed by Filter: (\d+)", plan)
        # The last entry of the page before is read again.
        assert not removed or removed == ["1"]
        if database_kind == "sqlite" and filters:
            assert "SEARCH audit_entries" in plan
