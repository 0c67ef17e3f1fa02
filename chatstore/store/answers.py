"""Forgets stored answers that hold deleted messages or sessions; no HTTP, no commit.

Such a record keeps its key, so that a late retry is refused and stores nothing again.
It loses the answer, and the digest of the body, which would confirm a guess.
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    and_,
    literal_column,
    select,
    tuple_,
    union_all,
    update,
)

from chatstore.db import db
from chatstore.models import ChatSession, IdempotencyRecord
from chatstore.models.sessions import OWNER
from chatstore.store.batches import fitting
from chatstore.store.idempotency import FORGOTTEN, PURGE_BYTES
from chatstore.store.json_rows import stored_bytes

# The most messages that a batch may have, whatever the settings.
MOST_MESSAGES = 10_000
# Records of an older version that one transaction forgets.
MOST_OLD_RECORDS = 1000
# A session that more answers show is deleted in batches, its answers first.
_FEW_ANSWERS = 100
# Sessions of one statement: each takes five parameters.
_CHUNK = 500
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


def forget_answers_of_sessions(owners: Mapping[UUID, str]) -> None:
    """Forget the answers that show these sessions or their messages, by owner.

    Each session must have few such answers, as `shows_in_few_answers` says.
    """
    ids = list(owners)
    for start in range(0, len(ids), _CHUNK):
        some = {each: owners[each] for each in ids[start : start + _CHUNK]}
        keys = [select(*_KEY).where(condition) for condition in _shown(some)]
        _forget(tuple_(*_KEY).in_(union_all(*keys)))


def forget_some_answers(session_id: UUID, *, most: int = MOST_OLD_RECORDS) -> bool:
    """Forget answers that show the session or its messages; return whether any did.

    Takes up to `most` of them, and 8 MiB, or one larger answer.
    """
    owner = select(OWNER).where(ChatSession.id == session_id)
    owner_id = db.session.scalar(owner) or ""
    size = stored_bytes(IdempotencyRecord.answer)
    for condition in _shown({session_id: owner_id}):
        rows = db.session.execute(select(*_KEY, size).where(condition).limit(most))
        some = fitting(rows.all(), lambda row: row[2], PURGE_BYTES)
        if some:
            _forget(tuple_(*_KEY).in_([(row[0], row[1]) for row in some]))
            return True
    return False


def shows_in_few_answers() -> ColumnElement[bool]:
    """Return the condition that one transaction may forget a session's answers.

    An append's answer has a message, and the number of messages is bounded elsewhere.
    Only a restored session can be in any number of answers.
    """
    one: ColumnElement[int] = literal_column("1")
    beyond = (
        select(one)
        .where(IdempotencyRecord.session_id == ChatSession.id, _HAS_ANSWER)
        .offset(_FEW_ANSWERS)
        .limit(1)
        .correlate(ChatSession)
    )
    return beyond.scalar_subquery().is_(None)


def _shown(owners: Mapping[UUID, str]) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of answers that show a message, and the session itself.

    Each has its own index.
    """
    requests = [name for each in owners for name in append_requests(each)]
    of_messages = and_(
        IdempotencyRecord.owner_id.in_(set(owners.values())),
        IdempotencyRecord.request.in_(requests),
        _HAS_ANSWER,
    )
    return of_messages, and_(IdempotencyRecord.session_id.in_(owners), _HAS_ANSWER)


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
