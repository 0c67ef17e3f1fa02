from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import select, update

from chatstore.db import db, transaction
from chatstore.errors import NotFound
from chatstore.models import Message
from chatstore.store.message_times import find_seq_bounds
from tests.support import MISSING_ID
from tests.support.statements import plan_of, statements_of_read
from tests.support.trees import plant

MOMENT = timedelta(microseconds=1)


def times_of(chat_id):
    query = select(Message.timestamp).where(Message.session_id == chat_id)
    return list(db.session.scalars(query.order_by(Message.seq)))


def found(chat_id, **times):
    bounds = find_seq_bounds(chat_id, owner_id="alice", **times)
    return list(range(bounds.after + 1, bounds.before))


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 33])
def test_every_pair_of_instants_bounds_the_messages_between(db_session, size):
    (chat_id,) = plant([[None] * size])
    # Gaps of 3 µs leave room for an instant before, at and after each message.
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with transaction():
        for seq in range(1, size + 1):
            change = update(Message).where(
                Message.session_id == chat_id, Message.seq == seq
            )
            db.session.execute(change.values(timestamp=start + 3 * seq * MOMENT))
    times = times_of(chat_id)
    instants = [start + step * MOMENT for step in range(2, 3 * size + 5)]
    for since, until in product([None, *instants[:30]], [None, *instants[-30:]]):
        expected = [
            seq
            for seq, time in enumerate(times, 1)
            if (since is None or since <= time) and (until is None or time < until)
        ]
        given = {"since": since, "until": until}
        assert found(chat_id, **given) == expected, given


def test_a_message_that_comes_later_is_out_of_the_bounds(db_session):
    (chat_id,) = plant([[None] * 3])
    future = datetime(9999, 1, 1, tzinfo=UTC)
    for times in ({"since": future}, {"until": future}):
        bounds = find_seq_bounds(chat_id, owner_id="alice", **times)
        assert bounds.before == 4


@pytest.mark.parametrize("owner_id", ["bob", "alice"])
def test_the_times_of_a_missing_session_are_not_found(db_session, owner_id):
    (chat_id,) = plant([[None]])
    wanted = chat_id if owner_id == "bob" else UUID(MISSING_ID)
    with pytest.raises(NotFound):
        find_seq_bounds(
            wanted, owner_id=owner_id, since=datetime(2026, 1, 1, tzinfo=UTC)
        )


def test_the_search_reads_messages_by_their_key(db_session, database_kind):
    (chat_id,) = plant([[None] * 2000])
    middle = times_of(chat_id)[1234]
    db_session.rollback()
    search = {"owner_id": "alice", "since": middle, "until": middle + MOMENT}
    assert find_seq_bounds(chat_id, **search) == (1234, 1236)
    assert len(statements_of_read(find_seq_bounds, chat_id, **search)) == 2
    plan = plan_of(database_kind, lambda: find_seq_bounds(chat_id, **search))
    if database_kind == "sqlite":
        assert "chat_messages USING INDEX" in plan
        assert "(session_id=? AND seq=?)" in plan
        assert "SCAN chat_messages" not in plan
    else:
        assert "(seq = (search_1.seq + search_1.step))" in plan, plan
        assert "Seq Scan on chat_messages" not in plan
