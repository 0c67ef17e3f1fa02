from datetime import timedelta

import pytest

from chatstore.clock import utc_now
from chatstore.enums import Scope
from chatstore.models import ApiKey
from chatstore.store import ended
from chatstore.store.keys import create_key
from tests.support import count, on_sqlite
from tests.support.statements import plan_of


@on_sqlite
@pytest.mark.parametrize(("table", "column"), ended.ENDINGS)
def test_rows_that_have_ended_are_found_by_an_index(db_session, table, column):
    plan = plan_of(
        "sqlite",
        lambda: ended.find_ended(table, column, before=utc_now(), limit=5),
    )
    assert f"USING INDEX ix_{table.__tablename__}_{column}" in plan
    assert "TEMP B-TREE" not in plan


def test_only_rows_that_ended_before_the_instant_are_found(db_session):
    now = utc_now()
    for days in (1, 3, None):
        end = now + timedelta(days=days) if days else None
        create_key(owner_id="alice", scope=Scope.READ, expires_at=end)
    ids = ended.find_ended(
        ApiKey, "expires_at", before=now + timedelta(days=2), limit=9
    )
    assert ended.delete_ended(ApiKey, ids) == 1
    assert count(db_session, ApiKey) == 2
