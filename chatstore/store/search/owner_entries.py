"""Finds the entries of the search index that one owner has; no HTTP, no commit."""

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    column,
    func,
    literal,
    literal_column,
    select,
    table,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import TSQUERY

from chatstore.db import db, is_sqlite
from chatstore.fulltext.index_format import owner_fts5_query, owner_tsquery
from chatstore.store.search.rows import index_entries


def find_keys(index: str, owner_id: str, *, after: int, limit: int) -> list[int]:
    """Return the next keys of the owner's entries, `limit` at most, in their order."""
    key, is_owned = _key_and_condition(index, owner_id)
    query = select(key).where(is_owned, key > after)
    return list(db.session.scalars(query.order_by(key).limit(limit)))


def count_keys(index: str, owner_id: str) -> int:
    """Return how many entries of the index the owner has."""
    key, is_owned = _key_and_condition(index, owner_id)
    return db.session.scalar(select(func.count(key)).where(is_owned)) or 0


def _key_and_condition(
    index: str, owner_id: str
) -> tuple[ColumnElement[int], ColumnElement[bool]]:
    if is_sqlite():
        key = table(index, column("rowid", BigInteger)).c.rowid
        query = literal(owner_fts5_query(owner_id))
        return key, literal_column(index).op("MATCH")(query)
    key, words = index_entries(index).c
    scope = sql_cast(literal(owner_tsquery(owner_id)), TSQUERY)
    return key, words.bool_op("@@")(scope)
