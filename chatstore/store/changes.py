"""Reads the change feed: what changed of an owner's sessions; no HTTP, no commit.

A change may be read once no earlier one can appear any more. The *horizon* is the first
change id of which that is not known: on PostgreSQL the oldest running transaction's
id, on SQLite the next number of the counter.
"""

from collections.abc import Collection
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Text,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from chatstore.db import cached_per_database, is_sqlite, read_connection
from chatstore.db.prepared import Prepared
from chatstore.models import ChatSession, MessageChange, SessionTombstone


class _Horizon(FunctionElement[int]):
    """The SQL expression of the horizon, as of the snapshot of its statement."""

    name = "horizon"
    type = BigInteger()
    inherit_cache = True


@compiles(_Horizon, "postgresql")
def _horizon_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"


@compiles(_Horizon)
def _horizon_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "(SELECT last_change_id + 1 FROM change_feed)"


def last_change_ids(owner_ids: Collection[str]) -> dict[str, int]:
    """Return each owner's greatest change id below the horizon; 0 without a change.

    It costs three look-ups in an index per owner, in one statement.
    """
    owners = orjson.dumps(list(owner_ids)).decode()
    with read_connection() as connection:
        rows = _last_change_ids().rows(connection, {"owners": owners})
    return {owner_id: max(each or 0 for each in ids) for owner_id, *ids in rows}


@cached_per_database(maxsize=1)
def _last_change_ids() -> Prepared:
    owners = bindparam("owners", type_=Text)
    elements: Any = (
        func.json_each(owners)
        if is_sqlite()
        else func.json_array_elements_text(sql_cast(owners, JSON))
    )
    owner_id = elements.table_valued(column("value", Text), name="owners").c.value
    greatest = [
        select(table.change_id)
        .where(table.owner_id == owner_id, table.change_id < _Horizon())
        .order_by(table.change_id.desc())
        .limit(1)
        .scalar_subquery()
        for table in (ChatSession, MessageChange, SessionTombstone)
    ]
    columns: list[ColumnElement[Any]] = [owner_id, *greatest]
    return Prepared(select(*columns))
