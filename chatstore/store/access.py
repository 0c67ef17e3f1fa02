"""Queries over idempotency records; no HTTP, no commit."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.clock import utc_now
from chatstore.db import db
from chatstore.models import IdempotencyRecord
from chatstore.store.sent import stored_bytes

_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_PURGE_BATCH = 1000
PURGE_BYTES = 8 * 1024 * 1024


def claim_record(
    *, owner_id: str, key: str, request: str, body_sha256: str
) -> IdempotencyRecord | None:
    """Take the key for this transaction; return the record if somebody was first.

    Waits for a transaction that has the key but is not finished. A record that is
    returned is committed, and so complete.
    """
    insert = _INSERT[db.engine.dialect.name]
    claimed = db.session.scalar(
        insert(IdempotencyRecord)
        .values(
            owner_id=owner_id,
            key=key,
            request=request,
            body_sha256=body_sha256,
            created_at=utc_now(),
        )
        .on_conflict_do_nothing()
        .returning(IdempotencyRecord.key)
    )
    if claimed is not None:
        return None
    first: IdempotencyRecord | None = db.session.scalar(
        select(IdempotencyRecord).where(
            IdempotencyRecord.owner_id == owner_id, IdempotencyRecord.key == key
        )
    )
    if first is not None:
        return first
    # Purged in between: the key is free now.
    return claim_record(
        owner_id=owner_id, key=key, request=request, body_sha256=body_sha256
    )


def finish_record(
    *, owner_id: str, key: str, status: int, answer: str, headers: dict[str, str]
) -> None:
    """Keep the answer with the key, in the transaction that claimed it."""
    db.session.execute(
        update(IdempotencyRecord)
        .where(IdempotencyRecord.owner_id == owner_id, IdempotencyRecord.key == key)
        .values(status=status, answer=answer, headers=headers)
    )


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
    total = 0
    keys: list[tuple[str, str]] = []
    for owner_id, name, size_of_one in db.session.execute(old).all():
        total += size_of_one
        if keys and total > PURGE_BYTES:
            break
        keys.append((owner_id, name))
    if not keys:
        return 0
    purged = db.session.scalars(
        delete(IdempotencyRecord)
        .where(tuple_(*key).in_(keys))
        .returning(IdempotencyRecord.key)
    )
    return len(purged.all())
