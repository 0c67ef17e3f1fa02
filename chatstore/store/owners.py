"""Finds, counts and deletes what an owner has, in every table; no HTTP, no commit.

The tables are those of the models with an owner column, so a table that is added later
is covered. Rows of other tables are deleted with the row that they belong to.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Text,
    and_,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from chatstore.db import db
from chatstore.enums import AuditAction
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ApiKey, AuditEntry, ChatSession, LoginSession, UsageCount
from chatstore.models.sessions import COPYING_OWNER, DELETED_OWNER, TRASH_OWNER
from chatstore.store.batches import fitting
from chatstore.store.json_rows import stored_bytes
from chatstore.store.search.owner_entries import count_keys

NAMES_OF_COLUMNS = ("owner_id", "former_owner_id")
# The audit log keeps the id of an erased owner, as the record that it was erased.
KEPT = frozenset({AuditEntry.__tablename__})
BATCH = 500
_NOBODY = (DELETED_OWNER, COPYING_OWNER, TRASH_OWNER)
BATCH_BYTES = 8 * 1024 * 1024
_FORMER: ColumnElement[str] = ChatSession.__table__.c.former_owner_id
# What an erasure removes from the owner's entries of the audit log. The entries about
# the owner as a whole have nothing of this.
_REDACTED = (
    AuditEntry.target,
    AuditEntry.address,
    AuditEntry.request_id,
    AuditEntry.details,
)
_ABOUT_OWNERS = (
    AuditAction.OWNER_ERASED,
    AuditAction.OWNER_EXPORTED,
    AuditAction.OWNER_RENAMED,
)


def owner_columns() -> list[Column[str]]:
    """Return each column that names an owner, except those of the audit log."""
    return [
        column
        for table in db.metadata.sorted_tables
        if table.name not in KEPT
        for column in table.columns
        if column.name in NAMES_OF_COLUMNS
    ]


def each_owner() -> Iterator[str]:
    """Yield each owner who has anything, hidden sessions included, in order.

    One statement finds the next owner, with an index lookup for each table.
    """
    owner_id = db.session.scalar(select(func.min(_smallest(None))))
    while owner_id is not None:
        if owner_id not in _NOBODY:
            yield owner_id
        owner_id = db.session.scalar(select(func.min(_smallest(owner_id))))


def _smallest(after: str | None) -> ColumnElement[str]:
    looks = []
    for column in owner_columns():
        for place in _HIDDEN if column is _FORMER else [None]:
            look = select(func.min(column).label("owner_id"))
            if place is not None:
                look = look.where(place)
            looks.append(look if after is None else look.where(column > after))
    return union_all(*looks).subquery().c.owner_id


# Hidden sessions, by the indexes that find them.
_HIDDEN = (
    and_(ChatSession.owner_id == TRASH_OWNER, ChatSession.trashed_at.is_not(None)),
    ChatSession.owner_id.in_([DELETED_OWNER, COPYING_OWNER]),
)


def sessions_of(owner_id: str) -> list[ColumnElement[bool]]:
    """Return conditions of all sessions of the owner, each with its own index."""
    hidden = [and_(ChatSession.former_owner_id == owner_id, each) for each in _HIDDEN]
    return [ChatSession.owner_id == owner_id, *hidden]


def undeleted_sessions_of(owner_id: str) -> list[ColumnElement[bool]]:
    """Return `sessions_of`, without the sessions that are being deleted."""
    is_deleted = ChatSession.owner_id == DELETED_OWNER
    return [and_(each, ~is_deleted) for each in sessions_of(owner_id)]


def count_sessions(owner_id: str) -> int:
    """Return how many sessions the owner sees."""
    return db.session.scalar(select(func.count()).where(sessions_of(owner_id)[0])) or 0


def find_left(owner_id: str) -> dict[str, int]:
    """Count the rows and search entries that name the owner; empty if there are none.

    Names are those of columns and indexes. Reads all sessions, so it may take seconds.
    """
    found = {}
    for column in owner_columns():
        query = select(func.count()).where(column == owner_id)
        found[f"{column.table.name}.{column.name}"] = db.session.scalar(query) or 0
    for index in (NAMES, MESSAGES):
        found[index] = count_keys(index, owner_id)
    return {name: count for name, count in found.items() if count}


def find_traces(owner_id: str) -> dict[str, int]:
    """Return `find_left`, and the count of audit entries that still have details."""
    query = select(func.count()).where(_has_details(owner_id))
    with_details = db.session.scalar(query)
    audited = {f"{AuditEntry.__tablename__}.details": with_details or 0}
    return find_left(owner_id) | (audited if with_details else {})


def count_messages(owner_id: str) -> int:
    """Return how many messages the owner's sessions have, hidden ones included."""
    counts = (
        db.session.scalar(select(func.sum(ChatSession.message_count)).where(each))
        for each in sessions_of(owner_id)
    )
    return sum(int(count or 0) for count in counts)


def sum_usage(owner_id: str) -> dict[str, int]:
    """Return the sums of the owner's counts of usage."""
    names = ("messages", "bytes", "input_tokens", "output_tokens")
    sums = [func.coalesce(func.sum(getattr(UsageCount, name)), 0) for name in names]
    row = db.session.execute(select(*sums).where(UsageCount.owner_id == owner_id)).one()
    return {f"{name} used": int(each) for name, each in zip(names, row, strict=True)}


def delete_keys_and_logins(owner_id: str) -> int:
    """Delete the owner's keys and browser logins; return how many keys."""
    db.session.execute(delete(LoginSession).where(LoginSession.owner_id == owner_id))
    deleting = delete(ApiKey).where(ApiKey.owner_id == owner_id).returning(ApiKey.id)
    return len(db.session.scalars(deleting).all())


def delete_batch(column: Column[str], owner_id: str) -> int:
    """Delete the next rows in which the column names the owner; return how many."""
    keys = next_keys(column, owner_id)
    if keys:
        db.session.execute(delete(column.table).where(is_among(column, owner_id, keys)))
    return len(keys)


def next_keys(column: Column[str], owner_id: str) -> list[tuple[Any, ...]]:
    """Return the primary keys of the next rows, as many as fit into a batch."""
    key = column.table.primary_key.columns
    large = [
        each
        for each in column.table.columns
        if isinstance(each.type, Text | JSON) and each not in list(key)
    ]
    size = stored_bytes(*large) if large else literal(0)
    rows = db.session.execute(
        select(*key, size.label("size")).where(column == owner_id).limit(BATCH)
    )
    return [tuple(row)[:-1] for row in fitting(rows, lambda row: row.size, BATCH_BYTES)]


def is_among(
    column: Column[str], owner_id: str, keys: list[tuple[Any, ...]]
) -> ColumnElement[bool]:
    """Return the condition of rows with these keys that still name the owner."""
    key = column.table.primary_key.columns
    return and_(tuple_(*key).in_(keys), column == owner_id)


def redact_entries(owner_id: str) -> int:
    """Remove the details from the owner's next audit entries; return how many."""
    query = select(AuditEntry.id).where(_has_details(owner_id)).limit(BATCH)
    ids = db.session.scalars(query).all()
    if ids:
        db.session.execute(
            update(AuditEntry)
            .where(AuditEntry.id.in_(ids))
            .values({column: null() for column in _REDACTED})
            .execution_options(synchronize_session=False)
        )
    return len(ids)


def _has_details(owner_id: str) -> ColumnElement[bool]:
    return and_(
        AuditEntry.owner_id == owner_id,
        AuditEntry.action.not_in(_ABOUT_OWNERS),
        or_(*(column.is_not(None) for column in _REDACTED)),
    )
