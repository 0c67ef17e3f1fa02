"""Gives what one owner has to another, who has nothing, in batches; no HTTP, no commit.

The change feed needs no marks: its tokens are bound to an owner, so a client of the
former owner starts again, and reads the sessions of the new one. Search entries are
rewritten last, because their words include the owner.
"""

from typing import Any

from sqlalchemy import Column, ColumnElement, delete, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.db import db, is_sqlite
from chatstore.enums import AuditAction
from chatstore.models import (
    ApiKey,
    AuditEntry,
    ChatSession,
    LoginSession,
    SessionFacet,
    Share,
    UsageCount,
)
from chatstore.store.audit import COMMAND_LINE, record_act
from chatstore.store.owners import is_among, next_keys
from chatstore.store.purges import find_due

# Sums of a table that has a row for each owner and period: equal periods are added.
_SUMS = {
    UsageCount.__tablename__: ("messages", "bytes", "input_tokens", "output_tokens")
}
# Rows of these tables move with the keys, or with their sessions.
_MOVED_BEFORE = (ApiKey, LoginSession)
_MOVED_WITH_SESSIONS = (SessionFacet, Share)
_STARTED, _FINISHED = "started", "finished"


def start_renaming(owner_id: str, new_owner_id: str) -> None:
    """Give the keys and logins to the new owner, and note that the renaming began."""
    if not is_interrupted(owner_id, new_owner_id):
        _note(owner_id, new_owner_id, _STARTED)
    for model in _MOVED_BEFORE:
        db.session.execute(
            update(model)
            .where(model.owner_id == owner_id)
            .values(owner_id=new_owner_id)
            .execution_options(synchronize_session=False)
        )


def finish_renaming(owner_id: str, new_owner_id: str) -> None:
    """Note that the new owner has everything."""
    _note(owner_id, new_owner_id, _FINISHED)


def move_sessions(condition: ColumnElement[bool], new_owner_id: str) -> int:
    """Move the next sessions, with their facets and shares; return how many.

    The condition is one of `owners.sessions_of`.
    """
    query = select(ChatSession.id, ChatSession.former_owner_id).where(
        ChatSession.id.in_(find_due(condition)), condition
    )
    rows = db.session.execute(query.order_by(ChatSession.id).with_for_update()).all()
    visible = [row.id for row in rows if row.former_owner_id is None]
    hidden = [row.id for row in rows if row.former_owner_id is not None]
    for ids, name in ((visible, "owner_id"), (hidden, "former_owner_id")):
        db.session.execute(
            update(ChatSession)
            .where(ChatSession.id.in_(ids))
            .values({name: new_owner_id, "revision": ChatSession.revision + 1})
            .execution_options(synchronize_session=False)
        )
    for model in _MOVED_WITH_SESSIONS:
        db.session.execute(
            update(model)
            .where(model.session_id.in_([*visible, *hidden]))
            .values(owner_id=new_owner_id)
            .execution_options(synchronize_session=False)
        )
    return len(rows)


def move_batch(column: Column[str], owner_id: str, new_owner_id: str) -> int:
    """Move the next rows in which the column names the owner; return how many.

    If the new owner has got a row with the same key meanwhile, that row stays.
    """
    keys = next_keys(column, owner_id)
    if not keys:
        return 0
    chosen = is_among(column, owner_id, keys)
    if not column.primary_key:
        moving = update(column.table).where(chosen)
        db.session.execute(moving.values({column.name: new_owner_id}))
        return len(keys)
    _copy(column, chosen, new_owner_id)
    db.session.execute(delete(column.table).where(chosen))
    return len(keys)


def _copy(
    column: Column[str], condition: ColumnElement[bool], new_owner_id: str
) -> None:
    table: Any = column.table
    values = [
        literal(new_owner_id, column.type) if each is column else each
        for each in table.columns
    ]
    insert: Any = sqlite.insert if is_sqlite() else postgresql.insert
    copying = insert(table).from_select(
        [each.name for each in table.columns], select(*values).where(condition)
    )
    if sums := _SUMS.get(table.name):
        copying = copying.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: table.c[name] + copying.excluded[name] for name in sums},
        )
    else:
        copying = copying.on_conflict_do_nothing()
    db.session.execute(copying)


def _note(owner_id: str, new_owner_id: str, state: str) -> None:
    record_act(
        AuditAction.OWNER_RENAMED,
        actor=COMMAND_LINE,
        owner_id=new_owner_id,
        details={"from": owner_id, "state": state},
    )


def is_interrupted(owner_id: str, new_owner_id: str) -> bool:
    """Return whether a renaming of these two began last, and did not end."""
    last = db.session.scalar(
        select(AuditEntry.details)
        .where(
            AuditEntry.owner_id == new_owner_id,
            AuditEntry.action == AuditAction.OWNER_RENAMED,
        )
        .order_by(AuditEntry.id.desc())
        .limit(1)
    )
    return last == {"from": owner_id, "state": _STARTED}
