"""Walks the path of a branch: from its head, by parents, to the beginning.

A fork is a message with a `parent_seq`: its parent is not the message before it. From
one fork to the next, a path has consecutive seqs, a run. The index of the forks finds
each run, so a walk costs one look-up per run, whatever the number of messages.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
)

from chatstore.db import read_connection
from chatstore.db.prepared import Prepared
from chatstore.errors import NotFound, TooManyForks
from chatstore.models import ChatSession, Message
from chatstore.store.runs import Runs
from chatstore.store.sessions import (
    HEAD_SEQ,
    IS_OWNED,
    MAX_SEQ,
    no_such_session,
    session_parameters,
)


@dataclass(frozen=True)
class WalkBounds:
    """The maximum number of forks that a statement, and a walk, may visit."""

    forks_per_statement: int = 1000
    max_forks: int = 100_000


BOUNDS = WalkBounds()
# A fork's seq times this, plus its parent's seq, is one number.
_SHIFT = 2**32


@dataclass(frozen=True)
class Path:
    """The path to the message `head_seq`, 0 in an empty session.

    `runs` has the whole path, or as much of its end as the walk was asked for.
    """

    head_seq: int
    last_seq: int
    runs: Runs


def get_path(
    session_id: UUID,
    *,
    owner_id: str,
    head_seq: int | None = None,
    after: int = 0,
    before: int = MAX_SEQ,
    size: int = MAX_SEQ,
    bounds: WalkBounds = BOUNDS,
) -> Path:
    """Return the path to the message `head_seq`, or to the session's head.

    The walk ends as soon as it has `size` seqs between the exclusive bounds, or all of
    them. Its statements need no common snapshot, because a message never changes its
    parent. Raises NotFound if there is no such session or message, and TooManyForks.
    """
    parameters = {
        **session_parameters(session_id, owner_id),
        "head": None if head_seq is None else min(head_seq, MAX_SEQ),
        "after": min(after, MAX_SEQ),
        "before": min(before, MAX_SEQ),
        "most": bounds.forks_per_statement,
        "size": size,
    }
    start, found = _read_runs(parameters, session_id)
    if start.head_seq > start.last_seq:
        raise no_such_seq(session_id, head_seq or 0, start.last_seq)
    runs = list(found)
    while _is_incomplete(found, parameters):
        if len(runs) >= bounds.max_forks:
            raise TooManyForks(bounds.max_forks)
        parameters["size"] -= sum(_seqs_before(run, before) for run in found)
        parameters["head"] = found[-1].parent_seq
        _, found = _read_runs(parameters, session_id)
        runs += found
    runs.reverse()
    ascending = Runs(
        array("i", [run.first for run in runs]), array("i", [run.last for run in runs])
    )
    return Path(start.head_seq, start.last_seq, ascending)


class _Start(NamedTuple):
    """The head of a walk, and the last seq of its session."""

    head_seq: int
    last_seq: int


class _Run(NamedTuple):
    """A run of consecutive seqs, and the seq that its first message follows."""

    first: int
    last: int
    parent_seq: int


def _read_runs(
    parameters: Mapping[str, Any], session_id: UUID
) -> tuple[_Start, list[_Run]]:
    """Return the next runs of a walk, descending."""
    with read_connection() as connection:
        rows = _prepare_walk().rows(connection, parameters)
    if not rows:
        raise no_such_session(session_id)
    (_, start, last_seq), *others = rows
    runs = []
    for last, fork, _ in others:
        # Without a fork, the rest of the path follows the log from its beginning.
        first, parent_seq = divmod(fork, _SHIFT) if fork is not None else (1, 0)
        runs.append(_Run(first, last, parent_seq))
    return _Start(start % _SHIFT, last_seq), runs


def _is_incomplete(found: Sequence[_Run], parameters: Mapping[str, Any]) -> bool:
    """Whether the walk goes on: its last statement ended at its bound."""
    if len(found) < parameters["most"] or found[-1].parent_seq <= parameters["after"]:
        return False
    covered = sum(_seqs_before(run, parameters["before"]) for run in found)
    return bool(covered < parameters["size"])


def _seqs_before(run: _Run, before: int) -> int:
    return max(0, min(run.last + 1, before) - run.first)


def no_such_seq(session_id: UUID, seq: int, last_seq: int) -> NotFound:
    """Return the error for a seq that the session does not have."""
    return NotFound(
        f"There is no message {seq} in session {session_id}: the last seq is"
        f" {last_seq}."
    )


@cache
def _prepare_walk() -> Prepared:
    """Return the statement that walks from `head` down to the next `most` forks.

    Its first row has the session's last seq, and the head as the parent of an empty
    run. Each other row has a run: its
    last seq and its fork, or null if the log has no fork before. A fork is one number,
    `seq * 2**32 + parent_seq`, because SQLite has no LATERAL: two columns would cost
    two look-ups.
    """
    shift = literal_column(str(_SHIFT), BigInteger)
    zero = literal_column("0", Integer)
    # The first row is an empty run, seq 1 to 0, whose parent is the head, so that the
    # recursive step needs no special case.
    head = func.coalesce(bindparam("head", type_=Integer), HEAD_SEQ)
    walk = (
        select(
            zero.label("number"),
            zero.label("last"),
            (shift + head).label("fork"),
            cast(zero, BigInteger).label("covered"),
            ChatSession.last_seq.label("last_seq"),
        )
        .where(IS_OWNED)
        .cte("walk", recursive=True)
    )
    seq, parent_seq = walk.c.fork // shift, walk.c.fork % shift
    before = bindparam("before", type_=Integer)
    covered = walk.c.covered + case(
        (walk.c.last < before, walk.c.last - seq + 1),
        (seq < before, before - seq),
        else_=0,
    )
    runs = select(
        walk.c.number + 1,
        cast(parent_seq, Integer),
        _latest_fork(parent_seq),
        covered,
        zero,
    ).where(
        walk.c.number < bindparam("most", type_=Integer),
        parent_seq > bindparam("after", type_=Integer),
        covered < bindparam("size", type_=Integer),
    )
    walk = walk.union_all(runs)
    columns = (walk.c.last, walk.c.fork, walk.c.last_seq)
    return Prepared(select(*columns).order_by(walk.c.number))


def _latest_fork(seq: ColumnElement[int]) -> ColumnElement[int]:
    """Return SQL for the last fork up to `seq`, as one number."""
    # A negative parent would change the seq of the fork, so it counts as 0.
    parent = case((Message.parent_seq > 0, Message.parent_seq), else_=0)
    shift = literal_column(str(_SHIFT), BigInteger)
    return (
        select(Message.seq * shift + parent)
        .where(
            Message.session_id == bindparam("the_session"),
            Message.parent_seq.is_not(None),
            Message.seq <= seq,
        )
        # In the order of seq alone, PostgreSQL may read backward through all messages.
        # Only the index of the forks has this order, so PostgreSQL uses it.
        .order_by(Message.seq.desc(), Message.parent_seq.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )
