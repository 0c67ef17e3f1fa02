"""Gives a request its effect once, however often a client sends it.

`Idempotency-Key` follows the IETF's draft-ietf-httpapi-idempotency-key-header. One
transaction writes the effect and the record of the answer, so neither exists without
the other.
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from chatstore.clock import Deadline
from chatstore.db import MAX_RETRIES, new_deadline, run_read, run_transaction
from chatstore.errors import (
    ChatstoreError,
    Flaw,
    MalformedRequest,
    OutcomeUnknown,
    ValidationFailed,
)
from chatstore.models.idempotency import KEY_LENGTH
from chatstore.store import idempotency
from chatstore.store.idempotency import KeyedRequest
from chatstore.web.auth import current_owner
from chatstore.web.responses import messages_of

IDEMPOTENCY_KEY = "Idempotency-Key"
_ENVIRON_NAME = "HTTP_IDEMPOTENCY_KEY"
REPLAYED_HEADER = "Idempotency-Replayed"
# Headers that are part of the answer; the others are about its transport.
_STORED_HEADERS = ("Content-Type", "ETag", "Location")


T = TypeVar("T")


class Runner(Protocol):
    """Runs work in a transaction: `run_transaction` or `group_commit`."""

    def __call__(self, work: Callable[[], T], *, deadline: Deadline) -> T: ...


def answer_keyed(answer: Callable[[], BaseResponse]) -> BaseResponse:
    """Return `answer()`, run once for the request's key if the request has one.

    The key and the effect are committed together, so an error leaves the key unused.
    After a commit with an unknown outcome the key's record tells whether it took place.
    """
    keyed = read_keyed()
    if keyed is None:
        return answer()
    run = partial(run_transaction, turn=(keyed.owner_id, keyed.key))
    return _run_once(run, keyed, answer)


def answer_once(run: Runner, answer: Callable[[], BaseResponse]) -> BaseResponse:
    """Return `answer()`, run by `run` in a transaction, once for the request's key.

    `answer` may run in another thread, so it must not read the request.
    """
    keyed = read_keyed()
    if keyed is None:
        return run(answer, deadline=new_deadline())
    return _run_once(run, keyed, answer)


def find_replay() -> BaseResponse | None:
    """Return the stored answer for the request's key, if there is one.

    A view that works long before its transaction asks first. Raises as `answer_once`
    does if another request has used the key.
    """
    keyed = read_keyed()
    if keyed is None:
        return None
    record = run_read(idempotency.find_record, owner_id=keyed.owner_id, key=keyed.key)
    return None if record is None else _replay(keyed, record)


def _run_once(
    run: Runner, keyed: KeyedRequest, answer: Callable[[], BaseResponse]
) -> BaseResponse:
    answer_or_replay = partial(_answer_or_replay, keyed, answer)
    deadline = new_deadline()
    for _ in range(MAX_RETRIES):
        try:
            return run(answer_or_replay, deadline=deadline)
        except OutcomeUnknown:
            continue  # the record tells whether the commit took place
    return run(answer_or_replay, deadline=deadline)


def read_key() -> str | None:
    """Return the request's key without quotes, or None; MalformedRequest if invalid."""
    if _ENVIRON_NAME not in request.environ:
        return None
    given = request.headers[IDEMPOTENCY_KEY]
    quoted = re.fullmatch(r'"((?:[^"\\]|\\["\\])*)"', given)
    if "," in given and not quoted:  # two headers arrive as one with a comma
        raise MalformedRequest(
            f"Send one {IDEMPOTENCY_KEY}. Put it in double quotes if it has a comma."
        )
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given
    if not re.fullmatch(f"[\x20-\x7e]{{1,{KEY_LENGTH}}}", key):
        raise MalformedRequest(
            f"{IDEMPOTENCY_KEY} must have 1 to {KEY_LENGTH} printable ASCII characters."
        )
    return key


def refuse_key(reason: str) -> None:
    """Refuse a request with a key, because no answer of its view may be stored.

    `reason` is a sentence without its full stop. Raises ValidationFailed.
    """
    if read_key() is not None:
        raise ValidationFailed([Flaw("", f"{reason}: send no {IDEMPOTENCY_KEY}.")])


def read_keyed() -> KeyedRequest | None:
    """Return the request with its key, or None if it has none; MalformedRequest."""
    key = read_key()
    if key is None:
        return None
    return KeyedRequest(
        owner_id=current_owner(),
        key=key,
        # An id may be sent in capitals. Deletions look for the path as we write it.
        request=f"{request.method} {request.path.rstrip('/').lower()}",
        body_sha256=hashlib.sha256(request.get_data()).hexdigest(),
    )


def _replay(keyed: KeyedRequest, record: idempotency.StoredAnswer) -> Response:
    record.check_request(keyed)
    replay = Response(record.answer, record.status, record.headers)
    replay.headers[REPLAYED_HEADER] = "true"
    return replay


def _answer_or_replay(
    keyed: KeyedRequest, answer: Callable[[], BaseResponse]
) -> BaseResponse:
    record = idempotency.claim_record(
        owner_id=keyed.owner_id,
        key=keyed.key,
        request=keyed.request,
        body_sha256=keyed.body_sha256,
    )
    if record is not None:
        return _replay(keyed, record)
    try:
        response = answer()
    except ChatstoreError:
        # A group commit may go on without this request, so we release the key here.
        idempotency.release_record(owner_id=keyed.owner_id, key=keyed.key)
        raise
    stored_headers = {
        header: response.headers[header]
        for header in _STORED_HEADERS
        if header in response.headers
    }
    idempotency.finish_record(
        owner_id=keyed.owner_id,
        key=keyed.key,
        status=response.status_code,
        answer=response.get_data(as_text=True),
        headers=stored_headers,
        messages=messages_of(response),
    )
    return response
