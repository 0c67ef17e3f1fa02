"""Deletes what all messages of a session say, batch by batch; no HTTP, no commit.

With an idempotency key the record of the answer is also the progress: `first_seq` is
the next seq to delete and `last_seq` the last one. Each batch updates the record in its
own transaction. So a retry continues where a crash left off, and neither a retry nor a
second request with the key deletes messages that came later.
"""

from dataclasses import dataclass, replace
from uuid import UUID

import orjson

from chatstore.store.answers import forget_old_answers
from chatstore.store.deletions import BOUNDS, Bounds
from chatstore.store.erasures import delete_next_messages
from chatstore.store.idempotency import (
    AnsweredMessages,
    KeyedRequest,
    StoredAnswer,
    claim_record,
    find_record,
    finish_record,
)
from chatstore.store.locks import lock_session


@dataclass(frozen=True)
class Clearing:
    """How far a request has come: messages up to `after` are deleted, of `until`."""

    session_id: UUID
    owner_id: str
    after: int
    until: int
    cleared: int = 0
    keyed: KeyedRequest | None = None
    is_replay: bool = False

    @property
    def is_done(self) -> bool:
        """Whether all messages are deleted."""
        return self.after >= self.until


def start_clearing(
    session_id: UUID, *, owner_id: str, keyed: KeyedRequest | None = None
) -> Clearing:
    """Return a clearing of the messages that the session has now.

    If a request with the key began before, returns how far it has come. Raises
    NotFound, and IdempotencyKeyReused if the key belongs to another request.
    """
    if keyed is not None:
        record = claim_record(
            owner_id=keyed.owner_id,
            key=keyed.key,
            request=keyed.request,
            body_sha256=keyed.body_sha256,
        )
        if record is not None:
            record.check_request(keyed)
            begun = Clearing(session_id, owner_id, 0, 0, keyed=keyed, is_replay=True)
            return _continued(begun, record)
    until = lock_session(session_id, owner_id=owner_id)
    clearing = Clearing(session_id, owner_id, 0, until, keyed=keyed)
    _write_progress(clearing)
    return clearing


def clear_next(clearing: Clearing, *, bounds: Bounds = BOUNDS) -> Clearing:
    """Delete what the next batch of messages says; return how far it has come.

    Answers of an older version are forgotten first, in steps of their own.
    """
    session_id, owner_id = clearing.session_id, clearing.owner_id
    # The lock comes first: another request with the key may have come further.
    lock_session(session_id, owner_id=owner_id)
    clearing = _read_progress(clearing)
    if clearing.is_done or forget_old_answers(session_id, owner_id=owner_id):
        return clearing
    last, count = delete_next_messages(
        session_id,
        owner_id=owner_id,
        after=clearing.after,
        until=clearing.until,
        bounds=bounds,
    )
    clearing = replace(clearing, after=last, cleared=clearing.cleared + count)
    _write_progress(clearing)
    return clearing


def _read_progress(clearing: Clearing) -> Clearing:
    if clearing.keyed is None:
        return clearing
    key = clearing.keyed.key
    record = find_record(owner_id=clearing.keyed.owner_id, key=key)
    # An administrator may have purged the record.
    return clearing if record is None else _continued(clearing, record)


def _continued(clearing: Clearing, record: StoredAnswer) -> Clearing:
    return replace(
        clearing,
        after=(record.first_seq or 1) - 1,
        until=record.last_seq or 0,
        cleared=orjson.loads(record.answer)["cleared"],
    )


def _write_progress(clearing: Clearing) -> None:
    if clearing.keyed is None:
        return
    finish_record(
        owner_id=clearing.keyed.owner_id,
        key=clearing.keyed.key,
        status=200,
        answer=orjson.dumps({"cleared": clearing.cleared}).decode(),
        headers={"Content-Type": "application/json"},
        messages=AnsweredMessages(clearing.after + 1, clearing.until),
    )
