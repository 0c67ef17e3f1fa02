"""Finds the seqs of the messages of a time, without an index on time; no HTTP.

Timestamps strictly increase with seq, so a binary search by the key (session, seq)
finds the place of an instant. It reads at most 31 messages, in one statement.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, bindparam, case, literal_column, select

from chatstore.db import read_connection
from chatstore.db.prepared import Prepared
from chatstore.models import ChatSession, Message
from chatstore.store.sessions import IS_OWNED, no_such_session, session_parameters

# The first step of the search: seqs are less than twice this.
_FIRST_STEP = 2**30


class SeqBounds(NamedTuple):
    """Exclusive bounds of seqs."""

    after: int
    before: int


def find_seq_bounds(
    session_id: UUID,
    *,
    owner_id: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> SeqBounds:
    """Return the bounds of the messages with `since` <= timestamp < `until`.

    Messages that are appended later are out of the bounds, whatever their time. Raises
    NotFound.
    """
    # The last seq is read first, so later messages cannot be between the bounds.
    last_seq, before = _count_earlier(session_id, owner_id, until)
    after = 0
    if since is not None:
        after = _count_earlier(session_id, owner_id, since)[1]
    return SeqBounds(after, (last_seq if until is None else before) + 1)


def _count_earlier(
    session_id: UUID, owner_id: str, instant: datetime | None
) -> tuple[int, int]:
    """Return the last seq, and how many messages up to it are earlier than `instant`.

    Without an instant, no message is earlier.
    """
    parameters = {**session_parameters(session_id, owner_id), "instant": instant}
    with read_connection() as connection:
        found: Sequence[tuple[Any, ...]] = _prepare_search().rows(
            connection, parameters
        )
    if not found:
        raise no_such_session(session_id)
    last_seq, earlier = found[0]
    return last_seq, min(earlier, last_seq)


@cache
def _prepare_search() -> Prepared:
    """Return the statement that adds halved steps to `seq` while it is earlier."""
    zero: Any = literal_column("0", Integer)
    first: Any = literal_column(str(_FIRST_STEP), Integer)
    search = (
        select(
            ChatSession.last_seq.label("last_seq"),
            zero.label("seq"),
            first.label("step"),
        )
        .where(IS_OWNED)
        .cte("search", recursive=True)
    )
    instant = bindparam("instant", type_=Message.timestamp.type)
    # PostgreSQL would read all earlier messages at once for EXISTS, to hash them.
    earlier = (
        select(literal_column("1"))
        .where(
            Message.session_id == bindparam("the_session"),
            Message.seq == search.c.seq + search.c.step,
            Message.timestamp < instant,
        )
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    half = search.c.step.op("/")(literal_column("2", Integer))
    search = search.union_all(
        select(
            search.c.last_seq,
            search.c.seq + case((earlier.is_not(None), search.c.step), else_=zero),
            half,
        ).where(search.c.step > 0)
    )
    return Prepared(select(search.c.last_seq, search.c.seq).where(search.c.step == 0))
