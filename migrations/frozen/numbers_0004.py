"""Numbers sessions that have no number, in batches; steps 0004 and 0006 use it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

SESSIONS = 200
# The time takes 52 of a number's 63 bits, so 11 bits are left.
SHARED_BITS = 11
# If a number is taken, the session gets the one after the last taken in this range.
NEARBY = 2**32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

sessions = sa.table(
    "sessions",
    sa.column("id", sa.Uuid()),
    sa.column("number", sa.BigInteger()),
    sa.column(
        "created_at",
        sa.String(27).with_variant(sa.DateTime(timezone=True), "postgresql"),
    ),
)


def number_sessions(work: Any) -> None:
    """Number the sessions about in the order of their creation.

    If this is interrupted, the next run continues it.
    """
    unnumbered = sa.select(sessions.c.id).where(sessions.c.number.is_(None))
    query, done = unnumbered.order_by(sessions.c.id).limit(SESSIONS), 0
    last = None
    while keys := [row.id for row in work.read(query)]:
        done += work.write(number_batch, keys)
        last = keys[-1]
        # We skip sessions that are locked at this moment; `finish` numbers them.
        query = unnumbered.where(sessions.c.id > last)
        query = query.order_by(sessions.c.id).limit(SESSIONS)
        work.show(f"sessions numbered: {done}")


def number_batch(connection: sa.Connection, keys: Sequence[Any]) -> int:
    """Number these sessions; return how many."""
    rows = connection.execute(
        sa.select(sessions)
        .where(sessions.c.id.in_(keys), sessions.c.number.is_(None))
        .with_for_update(skip_locked=True)
    ).all()
    wanted = {row.id: wanted_number(row) for row in rows}
    taken = sa.select(sessions.c.number).where(sessions.c.number.in_(wanted.values()))
    used = set(connection.scalars(taken))
    numbers = []
    for key, number in wanted.items():
        if number in used:
            near = sessions.c.number.between(number, number + NEARBY)
            last = connection.scalar(
                sa.select(sa.func.max(sessions.c.number)).where(near)
            )
            nearby = [each for each in used if number <= each <= number + NEARBY]
            number = max([last or 0, *nearby]) + 1
        used.add(number)
        numbers.append({"of": key, "its_number": number})
    if numbers:
        this = sessions.c.id == sa.bindparam("of", type_=sa.Uuid())
        change = sa.update(sessions).where(this)
        connection.execute(change.values(number=sa.bindparam("its_number")), numbers)
    return len(numbers)


def wanted_number(row: sa.Row[Any]) -> int:
    created_at = row.created_at
    if isinstance(created_at, str):
        created_at = datetime.fromisoformat(created_at)
    microseconds = (created_at - EPOCH) // timedelta(microseconds=1)
    shared = row.id.int % 2**SHARED_BITS
    return (microseconds << SHARED_BITS | shared) % 2**62
