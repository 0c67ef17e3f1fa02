"""Forgets the stored answers that hold deleted messages; no HTTP, no commit.

Such a record keeps its key, so that a late retry is refused and stores nothing again.
It loses the answer, and the digest of the body, which would confirm a guess.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, select, tuple_, update

from chatstore.db import db
from chatstore.models import IdempotencyRecord
from chatstore.store.idempotency import FORGOTTEN

# The most messages that a batch may have, whatever the settings.
MOST_MESSAGES = 10_000
# Records of an older version that one transaction forgets.
MOST_OLD_RECORDS = 1000
_KEY = (IdempotencyRecord.owner_id, IdempotencyRecord.key)
_HAS_ANSWER = IdempotencyRecord.answer != ""


def append_requests(session_id: UUID) -> list[str]:
    """Return the requests that append to the session, as records name them.

    An older version wrote the id as it was sent, and some clients send capitals.
    """
    ids = (str(session_id), str(session_id).upper())
    paths = [f"POST /api/v1/sessions/{each}/messages" for each in ids]
    return [*paths, *(f"{path}/batch" for path in paths)]


def forget_answers(
    session_id: UUID, *, owner_id: str, first_seq: int, last_seq: int
) -> None:
    """Forget the answers that hold a message with `first_seq` <= seq <= `last_seq`."""
    record = IdempotencyRecord
    holds_one = and_(
        # The lower bound keeps the index from visiting all answers of the session.
        record.first_seq.between(first_seq - MOST_MESSAGES, last_seq),
        record.last_seq >= first_seq,
    )
    of_appends = and_(
        record.owner_id == owner_id,
        record.request.in_(append_requests(session_id)),
        holds_one,
    )
    of_creation = and_(
        record.session_id == session_id,
        record.owner_id == owner_id,
        record.first_seq <= last_seq,
        record.last_seq >= first_seq,
    )
    for condition in (of_appends, of_creation):
        _forget(and_(condition, _HAS_ANSWER))


def forget_old_answer(session_id: UUID, message_id: int, *, owner_id: str) -> None:
    """Forget the answers of an older version that hold the message.

    Such records lack seqs, so their texts are compared.
    """
    _forget(
        and_(
            is_old_answer(session_id, owner_id=owner_id),
            IdempotencyRecord.answer.like(old_answer_pattern(session_id, message_id)),
        )
    )


def forget_old_answers(
    session_id: UUID, *, owner_id: str, most: int = MOST_OLD_RECORDS
) -> bool:
    """Forget up to `most` answers of an older version; return whether it found any.

    All messages of the session are about to be deleted, and each answer holds some.
    """
    query = select(*_KEY).where(is_old_answer(session_id, owner_id=owner_id))
    keys = [tuple(row) for row in db.session.execute(query.limit(most))]
    if keys:
        _forget(tuple_(*_KEY).in_(keys))
    return bool(keys)


def is_old_answer(session_id: UUID, *, owner_id: str) -> ColumnElement[bool]:
    """Return the condition of appends' answers that an older version stored."""
    return and_(
        IdempotencyRecord.owner_id == owner_id,
        IdempotencyRecord.request.in_(append_requests(session_id)),
        IdempotencyRecord.first_seq.is_(None),
        _HAS_ANSWER,
    )


def old_answer_pattern(session_id: UUID, message_id: int) -> str:
    """Return a LIKE pattern of the answers that hold the message."""
    # In LIKE the underscore matches any character, which does no harm here.
    return f'%"id":{message_id},"session_id":"{session_id}"%'


def _forget(condition: ColumnElement[bool]) -> None:
    db.session.execute(
        update(IdempotencyRecord)
        .where(condition)
        .values(status=FORGOTTEN, answer="", headers={}, body_sha256="")
        .execution_options(synchronize_session=False)
    )
