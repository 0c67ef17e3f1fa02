"""Copies messages to another session with their search entries; no HTTP, no commit.

The database copies them: no text passes through this process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Insert,
    Select,
    cast,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from chatstore.db import db, is_sqlite
from chatstore.fulltext.index_format import session_lexeme
from chatstore.models import Message
from chatstore.store.search import entries
from chatstore.store.tokens import Tokens, counted_tokens, summed

_TABLE = Message.__table__
# A copy follows the message before it, so it has no parent. Its revision is 1, and it
# has no feedback.
_KEPT = (
    *("timestamp", "role", "content", "metadata", "extra", "search_text"),
    "deleted_at",
)


@dataclass(frozen=True)
class Copied:
    """How many messages were copied, and the tokens that they count."""

    count: int
    tokens: Tokens


def copy_messages(
    source_id: UUID, seqs: Sequence[int], *, to: UUID, after: int
) -> Copied:
    """Copy the messages with these ascending seqs to another session; count them.

    The first gets the seq `after + 1`, and so on. PostgreSQL copies their search
    entries too. SQLite marks the copies for `rebuild.index_pending`.
    """
    copying = _copying(source_id, seqs, to, after)
    if is_sqlite():
        db.session.execute(copying)
        is_copy = (Message.session_id == to, Message.seq > after)
        entries.mark_pending(select(Message.id).where(*is_copy))
        counting = _counting(_TABLE.c.extra).where(*is_copy)
    else:
        # One statement has one snapshot, so each entry fits its message.
        columns = (_TABLE.c.id, _TABLE.c.seq, _TABLE.c.extra)
        copied = copying.returning(*columns).cte("copied")
        indexed = _copying_entries(source_id, seqs, to, after, copied)
        counting = _counting(copied.c.extra).add_cte(indexed)
    count, *tokens = db.session.execute(counting).one()
    return Copied(count, Tokens(*tokens))


def _counting(extra: ColumnElement[Any]) -> Select[Any]:
    """Return a query for the number of messages and the sums of their tokens."""
    kinds = ("input_tokens", "output_tokens")
    sums = (summed(counted_tokens(kind, extra)) for kind in kinds)
    counted: list[Any] = [func.count(), *sums]
    return select(*counted)


def _copying(source_id: UUID, seqs: Sequence[int], to: UUID, after: int) -> Insert:
    session_id = literal(to, _TABLE.c.session_id.type)
    kept = (_TABLE.c[name] for name in _KEPT)
    # The ids of a session's messages ascend with the seq; search sorts by them.
    rows = _numbered(source_id, seqs, after, session_id, *kept).order_by(_TABLE.c.seq)
    return insert(_TABLE).from_select(["seq", "session_id", *_KEPT], rows)


def _copying_entries(
    source_id: UUID, seqs: Sequence[int], to: UUID, after: int, copied: CTE
) -> CTE:
    """Return the CTE that inserts the entries, in which only the session differs."""
    sources = _numbered(source_id, seqs, after, _TABLE.c.id).subquery()
    index = entries.MESSAGE_INDEX
    others = func.ts_delete(index.c.words, session_lexeme(source_id))
    words = others.op("||")(cast(literal(f"'{session_lexeme(to)}'"), TSVECTOR))
    rows = select(copied.c.id, words).select_from(
        copied.join(sources, sources.c.new_seq == copied.c.seq).join(
            index, index.c.id == sources.c.id
        )
    )
    return insert(index).from_select(["id", "words"], rows).cte("indexed")


def _numbered(
    source_id: UUID, seqs: Sequence[int], after: int, *columns: ColumnElement[Any]
) -> Select[Any]:
    """Return a query for the new seqs of these messages, and some columns."""
    new_seq = func.row_number().over(order_by=_TABLE.c.seq) + after
    return select(new_seq.label("new_seq"), *columns).where(
        _TABLE.c.session_id == source_id, _TABLE.c.seq.in_(seqs)
    )
