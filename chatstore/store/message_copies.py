"""Copies messages to another session with their search entries; no HTTP, no commit.

The database copies them: no text passes through this process.
"""

from collections.abc import Sequence
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

_TABLE = Message.__table__
# A copy follows the message before it, so it has no parent. Its revision is 1, and it
# has no feedback.
_KEPT = (
    *("timestamp", "role", "content", "metadata", "extra", "search_text"),
    "deleted_at",
)


def copy_messages(source_id: UUID, seqs: Sequence[int], *, to: UUID, after: int) -> int:
    """Copy the messages with these ascending seqs to another session; return how many.

    The first gets the seq `after + 1`, and so on. PostgreSQL copies their search
    entries too. SQLite marks the copies for `rebuild.index_pending`.
    """
    copying = _copying(source_id, seqs, to, after)
    if is_sqlite():
        db.session.execute(copying)
        copies = select(Message.id).where(Message.session_id == to, Message.seq > after)
        entries.mark_pending(copies)
        counting = select(func.count()).select_from(copies.subquery())
    else:
        # One statement has one snapshot, so each entry fits its message.
        copied = copying.returning(_TABLE.c.id, _TABLE.c.seq).cte("copied")
        indexed = _copying_entries(source_id, seqs, to, after, copied)
        counting = select(func.count()).select_from(copied).add_cte(indexed)
    return db.session.scalar(counting) or 0


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
