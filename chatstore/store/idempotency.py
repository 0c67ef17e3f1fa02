"""Queries over idempotency records; no HTTP, no commit."""

from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import bindparam, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.clock import utc_now
from chatstore.db import db, write_connection
from chatstore.db.prepared import Prepared
from chatstore.models import IdempotencyRecord
from chatstore.store.batches import fitting
from chatstore.store.json_rows import stored_bytes

_PURGE_BATCH = 1000
PURGE_BYTES = 8 * 1024 * 1024
_CLAIMED = ("owner_id", "key", "request", "body_sha256", "created_at")
_WHOSE = (
    IdempotencyRecord.owner_id == bindparam("the_owner"),
    IdempotencyRecord.key == bindparam("the_key"),
)
_claim: dict[str, Prepared] = {
    name: Prepared(
        insert(IdempotencyRecord.__table__)
        .values({column: bindparam(column) for column in _CLAIMED})
        .on_conflict_do_nothing()
        .returning(IdempotencyRecord.key)
    )
    for name, insert in (("postgresql", postgresql.insert), ("sqlite", sqlite.insert))
}
_find = Prepared(
    select(
        IdempotencyRecord.key,
        IdempotencyRecord.request,
        IdempotencyRecord.body_sha256,
        IdempotencyRecord.status,
        IdempotencyRecord.answer,
        IdempotencyRecord.headers,
    ).where(*_WHOSE)
)
_finish = Prepared(
    update(IdempotencyRecord.__table__)
    .where(*_WHOSE)
    .values({name: bindparam(name) for name in ("status", "answer", "headers")})
    .returning(IdempotencyRecord.key)
)
_release = Prepared(
    delete(IdempotencyRecord.__table__).where(*_WHOSE).returning(IdempotencyRecord.key)
)


class StoredAnswer(NamedTuple):
    """What is kept of a request that carried a key."""

    key: str
    request: str
    body_sha256: str
    status: int
    answer: str
    headers: dict[str, str]


def claim_record(
    *, owner_id: str, key: str, request: str, body_sha256: str
) -> StoredAnswer | None:
    """Take the key for this transaction; return the record if somebody was first.

    Waits for a transaction that has the key but is not finished. A record that is
    returned is committed, and so complete, or of the same transaction.
    """
    connection = write_connection()
    claim = {
        "owner_id": owner_id,
        "key": key,
        "request": request,
        "body_sha256": body_sha256,
        "created_at": utc_now(),
    }
    if _claim[connection.dialect.name].rows(connection, claim):
        return None
    found = _find.rows(connection, _whose(owner_id, key))
    if found:
        record = StoredAnswer(*found[0])
        if isinstance(record.headers, str):  # as SQLite's driver has it
            return record._replace(headers=orjson.loads(record.headers))
        return record
    # Purged in between: the key is free now.
    return claim_record(
        owner_id=owner_id, key=key, request=request, body_sha256=body_sha256
    )


def finish_record(
    *, owner_id: str, key: str, status: int, answer: str, headers: dict[str, str]
) -> None:
    """Keep the answer with the key, in the transaction that claimed it."""
    answered = {"status": status, "answer": answer, "headers": headers}
    _finish.rows(write_connection(), _whose(owner_id, key) | answered)


def release_record(*, owner_id: str, key: str) -> None:
    """Give up a claim in a transaction that goes on without it."""
    _release.rows(write_connection(), _whose(owner_id, key))


def _whose(owner_id: str, key: str) -> dict[str, Any]:
    return {"the_owner": owner_id, "the_key": key}


def purge_records(*, before: datetime) -> int:
    """Delete some of the records made before the instant; return how many.

    At most a thousand, of 8 MiB of answers or of one that is larger.
    """
    key = (IdempotencyRecord.owner_id, IdempotencyRecord.key)
    size = stored_bytes(IdempotencyRecord.answer)
    old = (
        select(*key, size)
        .where(IdempotencyRecord.created_at < before)
        .limit(_PURGE_BATCH)
    )
    records = fitting(db.session.execute(old).all(), lambda row: row[2], PURGE_BYTES)
    if not records:
        return 0
    keys = [(record.owner_id, record.key) for record in records]
    purged = db.session.scalars(
        delete(IdempotencyRecord)
        .where(tuple_(*key).in_(keys))
        .returning(IdempotencyRecord.key)
    )
    return len(purged.all())
