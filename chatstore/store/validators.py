"""Reads what tells whether a page may have changed, at a fraction of the page's cost.

A validator names the last change that the page may show. On PostgreSQL a change has the
id of its transaction, and transactions commit in any order, so the last change alone
says nothing about one that is not committed yet. But such a transaction is still
running, or has not begun, so its id is not below the *horizon*, the oldest running
transaction's id. Therefore a validator exists only if the last change is below the
horizon. Whatever is committed after it then has a greater id, and another validator.

Read the validator before the page: the page may then be newer than its validator, which
costs a transfer, but never older, which would hide a change.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select

from chatstore.db import read_connection
from chatstore.db.prepared import Prepared
from chatstore.models import ChangeFeed, ChatSession, MessageChange, SessionTombstone
from chatstore.store.changes import Horizon

_OWNER = bindparam("the_owner", type_=ChatSession.owner_id.type)
_SESSION = bindparam("the_session", type_=ChatSession.id.type)


def list_validator(owner_id: str) -> str | None:
    """Return the validator of all lists of the owner's sessions, tags and models."""
    return _validator(_of_lists, {"the_owner": owner_id})


def messages_validator(session_id: UUID, *, owner_id: str) -> str | None:
    """Return the validator of all pages of a session's messages.

    It changes with the session and, because no index has the changed messages of one
    session, with any edited, deleted or rated message of the owner.
    """
    arguments = {"the_owner": owner_id, "the_session": session_id}
    return _validator(_of_messages, arguments)


def _validator(statement: Prepared, arguments: dict[str, Any]) -> str | None:
    with read_connection() as connection:
        rows = statement.rows(connection, arguments)
    if not rows:
        return None
    feed_id, horizon, *change_ids = rows[0]
    if max(change_ids) >= horizon:
        return None
    return "-".join(map(str, [feed_id, *change_ids]))


def _last_change(table: Any) -> ColumnElement[int | None]:
    """Return the owner's greatest change id that is visible, from the table's index."""
    return (
        select(table.change_id)
        .where(table.owner_id == _OWNER)
        .order_by(table.change_id.desc())
        .limit(1)
        .scalar_subquery()
    )


_of_lists = Prepared(
    select(
        ChangeFeed.feed_id,
        Horizon(),
        func.coalesce(_last_change(ChatSession), 0),
        func.coalesce(_last_change(SessionTombstone), 0),
    )
)
_of_messages = Prepared(
    select(
        ChangeFeed.feed_id,
        Horizon(),
        ChatSession.change_id,
        func.coalesce(_last_change(MessageChange), 0),
    ).where(ChatSession.id == _SESSION, ChatSession.owner_id == _OWNER)
)
