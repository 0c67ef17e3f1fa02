"""Compares the parents of messages with heads, and with the paths that readers get."""

from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Integer,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.orm import aliased

from chatstore.db import db
from chatstore.db.prepared import Prepared
from chatstore.errors import NotFound
from chatstore.models import ChatSession, Message
from chatstore.store.deletions import IS_WHOLE
from chatstore.store.paths import get_path
from chatstore.store.sessions import MAX_SEQ

_BATCH = 100
# A session of any length costs as much as this many messages.
MAX_STEPS = 10_000


def find_wrong_parents() -> Iterator[str]:
    """Yield a sentence for each message whose parent is not an earlier message.

    Without a `parent_seq` it is the message before, which the check of `seq` finds.
    """
    parent = aliased(Message)
    is_there = exists().where(
        parent.session_id == Message.session_id, parent.seq == Message.parent_seq
    )
    query = (
        select(Message.session_id, Message.seq, Message.parent_seq)
        .join(ChatSession)
        .where(
            IS_WHOLE,
            Message.parent_seq.is_not(None),
            or_(
                Message.parent_seq < 0,
                Message.parent_seq >= Message.seq - 1,
                and_(Message.parent_seq > 0, ~is_there),
            ),
        )
    )
    for chat_id, seq, parent_seq in db.session.execute(
        query, execution_options={"yield_per": 1000}
    ):
        yield (
            f"session {chat_id}: message {seq} has parent_seq {parent_seq}, which is"
            " not an earlier message, or is the one before"
        )


def find_wrong_heads() -> Iterator[str]:
    """Yield a sentence for each session with an impossible head or latest parent."""
    latest = (
        select(Message.parent_seq)
        .where(
            Message.session_id == ChatSession.id,
            Message.parent_seq.is_not(None),
            Message.seq <= ChatSession.last_seq,
        )
        .order_by(Message.seq.desc(), Message.parent_seq.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    is_there = exists().where(
        Message.session_id == ChatSession.id, Message.seq == ChatSession.head_seq
    )
    heads = select(ChatSession.id, ChatSession.head_seq, ChatSession.last_seq).where(
        IS_WHOLE,
        ChatSession.head_seq.is_not(None),
        or_(ChatSession.head_seq >= ChatSession.last_seq, ~is_there),
    )
    for chat_id, head_seq, last_seq in db.session.execute(heads):
        yield (
            f"session {chat_id} has head_seq {head_seq}, which is not a message before"
            f" its last, {last_seq}"
        )
    parents = select(ChatSession.id, ChatSession.latest_parent_seq, latest).where(
        IS_WHOLE,
        ChatSession.latest_parent_seq.is_not(None),
        ChatSession.latest_parent_seq.is_distinct_from(latest),
    )
    for chat_id, told, found in db.session.execute(parents):
        yield (
            f"session {chat_id} has latest_parent_seq {told}, but the parent_seq of its"
            f" latest fork is {found}"
        )


def find_wrong_paths(*, max_steps: int = MAX_STEPS) -> Iterator[str]:
    """Yield a sentence for each session whose path differs from its parents.

    The path to the head comes from the index of forks. A walk from parent to parent
    does not use this index. Both are compared over at most `max_steps` messages.
    """
    for chat in _branching_sessions():
        try:
            path = get_path(chat.id, owner_id=chat.owner_id, size=max_steps)
        except NotFound:
            continue  # the check of heads finds a head that is missing
        shown = path.runs.seqs(
            count=max_steps, after=0, before=MAX_SEQ, is_descending=True
        )
        walked = _walk_by_parents(chat.id, path.head_seq, max_steps)
        if shown != walked:
            yield (
                f"session {chat.id}: the path to message {path.head_seq} has"
                f" {len(shown)} messages, and a walk by parents {len(walked)} or others"
            )


def _branching_sessions() -> Iterator[Any]:
    is_fork = and_(Message.session_id == ChatSession.id, Message.parent_seq >= 0)
    query = (
        select(ChatSession.id, ChatSession.owner_id)
        .where(IS_WHOLE, exists().where(is_fork))
        .order_by(ChatSession.id)
        .limit(_BATCH)
    )
    chats = db.session.execute(query).all()
    while chats:
        yield from chats
        chats = db.session.execute(query.where(ChatSession.id > chats[-1].id)).all()


def _walk_by_parents(session_id: UUID, head_seq: int, max_steps: int) -> list[int]:
    parameters = {"the_session": session_id, "head": head_seq, "most": max_steps}
    rows = _prepare_steps().rows(db.session.connection(), parameters)
    return [seq for (seq,) in rows if seq > 0][:max_steps]


@cache
def _prepare_steps() -> Prepared:
    steps = select(
        literal_column("1", Integer).label("number"),
        cast(bindparam("head"), Integer).label("seq"),
    ).cte("steps", recursive=True)
    parents = (
        select(steps.c.number + 1, func.coalesce(Message.parent_seq, Message.seq - 1))
        .select_from(steps)
        .join(Message, Message.seq == steps.c.seq)
        .where(
            Message.session_id == bindparam("the_session"),
            steps.c.number < bindparam("most", type_=Integer),
        )
    )
    steps = steps.union_all(parents)
    return Prepared(select(steps.c.seq).order_by(steps.c.number))
