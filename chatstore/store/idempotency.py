"""Queries over idempotency records; no HTTP, no commit."""

from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, bindparam, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.clock import utc_now
from chatstore.db import db, read_connection, write_connection
from chatstore.db.prepared import Prepared
from chatstore.models import IdempotencyRecord
from chatstore.store.batches import fitting
from chatstore.store.json_rows import stored_bytes

_PURGE_BATCH = 1000
PURGE_BYTES = 8 * 1024 * 1024
_CLAIM_COLUMNS = ("owner_id", "key", "request", "body_sha256", "created_at")
_IS_RECORD = (
    IdempotencyRecord.owner_id == bindparam("the_owner"),
    IdempotencyRecord.key == bindparam("the_key"),
)
_claim: dict[str, Prepared] = {
    name: Prepared(
        insert(IdempotencyRecord.__table__)
        .values({column: bindparam(column) for column in _CLAIM_COLUMNS})
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
    ).where(*_IS_RECORD)
)
_finish = Prepared(
    update(IdempotencyRecord.__table__)
    .where(*_IS_RECORD)
    .values({name: bindparam(name) for name in ("status", "answer", "headers")})
    .returning(IdempotencyRecord.key)
)
_release = Prepared(
    delete(IdempotencyRecord.__table__)
    .where(*_IS_RECORD)
    .returning(IdempotencyRecord.key)
)


class StoredAnswer(NamedTuple):
    """A request that carried a key, and the answer to it."""

    key: str
    request: str
    body_sha256: str
    status: int
    answer: str
    headers: dict[str, str]


def claim_record(
    *, owner_id: str, key: str, request: str, body_sha256: str
) -> StoredAnswer | None:
    """Claim the key and return None, or return the record of an earlier claim.

    Waits for the end of another transaction that has claimed the key. A returned record
    is committed, and so complete, unless this transaction claimed it.
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
    record = _find_record(connection, owner_id, key)
    if record is not None:
        return record
    # Another transaction has purged the record meanwhile, so the key is free.
    return claim_record(
        owner_id=owner_id, key=key, request=request, body_sha256=body_sha256
    )


def find_record(*, owner_id: str, key: str) -> StoredAnswer | None:
    """Return the record of an earlier request with the key; claim nothing."""
    with read_connection() as connection:
        return _find_record(connection, owner_id, key)


def _find_record(
    connection: Connection, owner_id: str, key: str
) -> StoredAnswer | None:
    found = _find.rows(connection, _record_parameters(owner_id, key))
    if not found:
        return None
    record = StoredAnswer(*found[0])
    if isinstance(record.headers, str):  # SQLite's driver gives a text
        return record._replace(headers=orjson.loads(record.headers))
    return record


def finish_record(
    *, owner_id: str, key: str, status: int, answer: str, headers: dict[str, str]
) -> None:
    """Store the answer with the key, in the transaction that claimed the key."""
    answered = {"status": status, "answer": answer, "headers": headers}
    _finish.rows(write_connection(), _record_parameters(owner_id, key) | answered)


def release_record(*, owner_id: str, key: str) -> None:
    """Delete the claim in a transaction that continues without it."""
    _release.rows(write_connection(), _record_parameters(owner_id, key))


def _record_parameters(owner_id: str, key: str) -> dict[str, Any]:
    return {"the_owner": owner_id, "the_key": key}


def purge_records(*, before: datetime) -> int:
    """Delete a batch of the records created before the instant; return how many.

    A batch has at most 1000 records and 8 MiB of answers, or one larger answer.
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
