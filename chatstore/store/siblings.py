"""Finds the siblings of messages: the messages that follow the same one.

Branches of a conversation begin at siblings: other versions of a question or answer.
"""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.orm import aliased

from chatstore.db import read_connection
from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import Order
from chatstore.models import Message
from chatstore.store.json_rows import in_list

# A message may have thousands of siblings, so an answer names the nearest of them.
MAX_EACH_SIDE = 50


def find_siblings(
    session_id: UUID, seqs: Sequence[int], *, each_side: int = MAX_EACH_SIDE
) -> dict[int, list[int]]:
    """Return the siblings of each message that has some, by its seq.

    A list is ascending and holds the message itself. Of more siblings, it holds the
    nearest: `each_side` before the message and `each_side` after it. The caller has
    checked that the session is the owner's.
    """
    parameters = {
        "the_session": session_id,
        "seqs": ",".join(map(str, seqs)),
        "each_side": each_side,
    }
    with read_connection() as connection:
        rows = _prepare_siblings().rows(connection, parameters)
    found = {}
    for seq, parent_seq, is_first_plain, before, after in rows:
        others = {seq, *_numbers(before), *_numbers(after)}
        if is_first_plain:
            others.add(parent_seq + 1)
        if len(others) > 1:
            nearest = sorted(others)
            place = nearest.index(seq)
            found[seq] = nearest[max(0, place - each_side) : place + each_side + 1]
    return found


def _numbers(text: str | None) -> list[int]:
    return [int(each) for each in text.split(",")] if text else []


@cache
def _prepare_siblings() -> Prepared:
    """Return the statement that finds the siblings of the messages `seqs`.

    The siblings with a `parent_seq` stand in an index. Without one, only the message
    after the parent can be a sibling.
    """
    parent = func.coalesce(Message.parent_seq, Message.seq - 1)
    first = aliased(Message)
    is_first_plain = (
        select(literal_column("1"))
        .where(
            first.session_id == bindparam("the_session"),
            first.seq == parent + 1,
            first.parent_seq.is_(None),
        )
        .scalar_subquery()
    )
    columns = (
        Message.seq,
        parent,
        is_first_plain,
        _nearest(parent, Order.DESC),
        _nearest(parent, Order.ASC),
    )
    return Prepared(
        select(*columns).where(
            Message.session_id == bindparam("the_session"),
            in_list(Message.seq, bindparam("seqs", type_=Text)),
        )
    )


def _nearest(parent: ColumnElement[int], order: Order) -> ColumnElement[str]:
    """Return SQL for the nearest siblings after the message, or before it if DESC."""
    sibling = aliased(Message)
    # Only the index of siblings has this order. PostgreSQL must not read all messages
    # after this one to find a few with the same parent.
    key = (sibling.parent_seq, sibling.seq)
    here = tuple_(parent, Message.seq)
    if order is Order.ASC:
        is_beyond = and_(tuple_(*key) > here, sibling.parent_seq <= parent)
    else:
        is_beyond = and_(tuple_(*key) < here, sibling.parent_seq >= parent)
    rows = (
        select(sibling.seq)
        .where(sibling.session_id == bindparam("the_session"), is_beyond)
        .order_by(*(each.desc() if order is Order.DESC else each for each in key))
        .correlate(Message)
    )
    nearest = bounded(rows, bindparam("each_side", type_=Integer)).subquery()
    texts = func.aggregate_strings(cast(nearest.c.seq, Text), ",")
    return select(texts).scalar_subquery()
