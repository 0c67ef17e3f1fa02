"""Walks through all sessions in batches, as steps 0014 and 0017 do."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

_BATCH = 200
_END = (
    "SELECT max(id) FROM"
    f" (SELECT id FROM sessions WHERE id > :after ORDER BY id LIMIT {_BATCH}) AS batch"
)
# PostgreSQL before 18 has no max(uuid).
_MAX_UUID = "CAST(max(CAST(id AS text)) AS uuid)"


def batches(work: Any) -> Iterator[tuple[Any, Any]]:
    """Yield `(after, last)` for each batch: its ids are > `after` and <= `last`."""
    query = _END if work.is_sqlite else _END.replace("max(id)", _MAX_UUID)
    # An id before that of every session, as the database stores ids.
    after = "" if work.is_sqlite else "00000000-0000-0000-0000-000000000000"
    while (last := _last(work, query, after)) is not None:
        yield after, last
        after = last


def _last(work: Any, query: str, after: Any) -> Any:
    return work.read(typed(work, query), {"after": after})[0][0]


def typed(work: Any, query: str) -> sa.TextClause:
    """Return the query; on PostgreSQL, `:after` and `:last` are UUIDs."""
    if not work.is_sqlite:
        for name in ("after", "last"):
            query = query.replace(f":{name}", f"CAST(:{name} AS uuid)")
    return sa.text(query)
