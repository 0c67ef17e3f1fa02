"""Reads what tells whether a page may have changed, at a fraction of the page's cost.

A validator names the last change that the page may show. On PostgreSQL a change has the
id of its transaction, and transactions commit in any order, so the last change alone
says nothing about one that is not committed yet. But such a transaction is still
running, or has not begun, so its id is not below the *horizon*, the oldest running
transaction's id. Therefore a validator exists only if the last change is below the
horizon. Whatever is committed after it then has a greater id, and another validator.

The validator may be older than the page, which costs a transfer, but never newer, which
would hide a change. So read it in the page's statement, which has one snapshot, or
before the page.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from chatstore.db import read_connection
from chatstore.db.prepared import Prepared
from chatstore.models import ChangeFeed, ChatSession, MessageChange, SessionTombstone
from chatstore.store.json_rows import formatted

_OWNER = bindparam("the_owner", type_=ChatSession.owner_id.type)
_SESSION = bindparam("the_session", type_=ChatSession.id.type)


class Horizon(FunctionElement[int]):
    """The SQL expression of the horizon, as of the snapshot of its statement."""

    name = "horizon"
    type = BigInteger()
    inherit_cache = True


@compiles(Horizon, "postgresql")
def _horizon_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"


@compiles(Horizon)
def _horizon_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "(SELECT last_change_id + 1 FROM change_feed)"


def list_validator(owner_id: str) -> str | None:
    """Return the validator of all lists of the owner's sessions, tags and models."""
    return _read(_of_lists, {"the_owner": owner_id})


def messages_validator(session_id: UUID, *, owner_id: str) -> str | None:
    """Return the validator of all pages of a session's messages.

    It changes with the session and, because no index has the changed messages of one
    session, with any edited, deleted or rated message of the owner.
    """
    arguments = {"the_owner": owner_id, "the_session": session_id}
    return _read(_of_messages, arguments)


def parse_validator(last_changes: str | None) -> str | None:
    """Return the validator in a value of one of the columns below.

    None while a transaction runs that is older than the last change.
    """
    if last_changes is None:
        return None
    horizon, _, validator = last_changes.partition(" ")
    session_change, other_change, _ = validator.split(" ")
    if max(int(session_change), int(other_change)) >= int(horizon):
        return None
    return validator


def _read(statement: Prepared, arguments: dict[str, Any]) -> str | None:
    with read_connection() as connection:
        ((last_changes,),) = statement.rows(connection, arguments)
    return parse_validator(last_changes)


def _last_change(table: Any) -> ColumnElement[int]:
    """Return the owner's greatest change id that is visible, from the table's index."""
    found = (
        select(table.change_id)
        .where(table.owner_id == _OWNER)
        .order_by(table.change_id.desc())
        .limit(1)
    )
    return func.coalesce(found.correlate(None).scalar_subquery(), 0)


def _last_changes(*change_ids: Any) -> Select[tuple[str]]:
    """Select the text of the horizon, two change ids and the id of the feed."""
    values = (Horizon(), *change_ids, ChangeFeed.feed_id)
    return select(formatted(literal_column("'%s %s %s %s'"), *values))


# Columns of a page's statement for `parse_validator`. The parameters are `the_owner`
# and, for messages, `the_session`.
LAST_CHANGES_OF_LISTS = (
    _last_changes(_last_change(ChatSession), _last_change(SessionTombstone))
    .correlate(None)
    .scalar_subquery()
)
LAST_CHANGES_OF_MESSAGES = (
    _last_changes(ChatSession.change_id, _last_change(MessageChange))
    .where(ChatSession.id == _SESSION, ChatSession.owner_id == _OWNER)
    .correlate(None)
    .scalar_subquery()
)
_of_lists = Prepared(select(LAST_CHANGES_OF_LISTS))
_of_messages = Prepared(select(LAST_CHANGES_OF_MESSAGES))
