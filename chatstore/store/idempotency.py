"""Queries over idempotency records; no HTTP, no commit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection, bindparam, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from chatstore.clock import utc_now
from chatstore.db import (
    cached_per_database,
    db,
    is_sqlite,
    read_connection,
    write_connection,
)
from chatstore.db.prepared import Prepared
from chatstore.errors import IdempotencyKeyReused, MessageDeleted
from chatstore.models import IdempotencyRecord
from chatstore.store.batches import fitting
from chatstore.store.json_rows import stored_bytes

# The status of a record whose answer had a message that was deleted: Gone.
FORGOTTEN = 410
_PURGE_BATCH = 1000
PURGE_BYTES = 8 * 1024 * 1024
_CLAIM_COLUMNS = ("owner_id", "key", "request", "body_sha256", "created_at")
_ANSWER_COLUMNS = (
    "status",
    "answer",
    "headers",
    "first_seq",
    "last_seq",
    "session_id",
)
_IS_RECORD = (
    IdempotencyRecord.owner_id == bindparam("the_owner"),
    IdempotencyRecord.key == bindparam("the_key"),
)
_find = Prepared(
    select(
        IdempotencyRecord.key,
        IdempotencyRecord.request,
        IdempotencyRecord.body_sha256,
        IdempotencyRecord.status,
        IdempotencyRecord.answer,
        IdempotencyRecord.headers,
        IdempotencyRecord.first_seq,
        IdempotencyRecord.last_seq,
    ).where(*_IS_RECORD)
)
_finish = Prepared(
    update(IdempotencyRecord.__table__)
    .where(*_IS_RECORD)
    .values({name: bindparam(name) for name in _ANSWER_COLUMNS})
    .returning(IdempotencyRecord.key)
)
_release = Prepared(
    delete(IdempotencyRecord.__table__)
    .where(*_IS_RECORD)
    .returning(IdempotencyRecord.key)
)


class AnsweredMessages(NamedTuple):
    """The seqs of the messages in an answer; None if it has none.

    `session_id` is that of a session which the request created.
    """

    first_seq: int | None = None
    last_seq: int | None = None
    session_id: UUID | None = None


NO_MESSAGES = AnsweredMessages()


@dataclass(frozen=True)
class KeyedRequest:
    """The parts of a request with a key that its record needs."""

    owner_id: str
    key: str
    request: str
    body_sha256: str


class StoredAnswer(NamedTuple):
    """A request that carried a key, and the answer to it."""

    key: str
    request: str
    body_sha256: str
    status: int
    answer: str
    headers: dict[str, str]
    first_seq: int | None
    last_seq: int | None

    @property
    def is_forgotten(self) -> bool:
        """Whether a message in the answer was deleted, so that the answer is gone."""
        return self.status == FORGOTTEN

    def check_request(self, asked: KeyedRequest) -> None:
        """Raise an error unless `asked` is the recorded request, and answered still.

        Raises IdempotencyKeyReused and MessageDeleted.
        """
        is_same_request = self.request.lower() == asked.request.lower()
        if is_same_request and self.is_forgotten:
            raise MessageDeleted(
                f"The request with Idempotency-Key {asked.key!r} took place, and a"
                " message or the session of its answer was deleted since. It is not"
                " stored again."
            )
        if not is_same_request or self.body_sha256 != asked.body_sha256:
            raise IdempotencyKeyReused(asked.key, is_other_body=is_same_request)


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
    if _prepare_claim().rows(connection, claim):
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


@cached_per_database(maxsize=2)
def _prepare_claim() -> Prepared:
    """Return a statement that inserts a record, and yields no row if the key exists."""
    insert: Any = sqlite.insert if is_sqlite() else postgresql.insert
    return Prepared(
        insert(IdempotencyRecord.__table__)
        .values({column: bindparam(column) for column in _CLAIM_COLUMNS})
        .on_conflict_do_nothing()
        .returning(IdempotencyRecord.key)
    )


def finish_record(
    *,
    owner_id: str,
    key: str,
    status: int,
    answer: str,
    headers: dict[str, str],
    messages: AnsweredMessages = NO_MESSAGES,
) -> None:
    """Store the answer with the key, in the transaction that claimed the key.

    `messages` says which messages the answer has, so that their deletion finds it.
    """
    answered = {"status": status, "answer": answer, "headers": headers}
    answered |= messages._asdict()
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
