"""Walks the path of a branch, for forks; `store/paths.py` replaces this file."""

from uuid import UUID

from sqlalchemy import Integer, bindparam, text

from chatstore.db import read_connection
from chatstore.errors import Flaw, ValidationFailed
from chatstore.models import Message

Run = tuple[int, int]
_MAX_RUNS, _RUNS_PER_STATEMENT = 100_000, 1000
_FORK = (
    "(SELECT max(seq) FROM chat_messages WHERE session_id = :the_session"
    " AND parent_seq IS NOT NULL AND seq <= {head})"
)
_WALK = text(
    "WITH RECURSIVE walk (head, fork) AS ("  # nosec B608
    f"SELECT :head, {_FORK.format(head=':head')} UNION ALL"
    f" SELECT message.parent_seq, {_FORK.format(head='message.parent_seq')}"
    " FROM walk JOIN chat_messages AS message ON message.seq = walk.fork"
    " AND message.session_id = :the_session"
    " WHERE message.parent_seq > 0)"
    " SELECT head, coalesce(fork, 1) FROM walk LIMIT :size"
).bindparams(
    bindparam("the_session", type_=Message.session_id.type),
    bindparam("head", type_=Integer),
)


def runs_of_path(session_id: UUID, head: int) -> list[Run]:
    """Return the runs of consecutive seqs from the beginning to `head`, oldest first.

    Empty for head 0.
    """
    runs: list[Run] = []
    while head:
        parameters = {
            "the_session": session_id,
            "head": head,
            "size": _RUNS_PER_STATEMENT + 1,
        }
        with read_connection() as connection:
            rows = connection.execute(_WALK, parameters).all()
        runs += [(first, last) for last, first in rows[:_RUNS_PER_STATEMENT]]
        head = rows[-1][0] if len(rows) > _RUNS_PER_STATEMENT else 0
        if len(runs) > _MAX_RUNS:
            detail = f"The branch has more than {_MAX_RUNS} forks."
            raise ValidationFailed([Flaw("/at_seq", detail)])
    return runs[::-1]
