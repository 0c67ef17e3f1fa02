"""Requests that have their effect once, however often they are sent.

`Idempotency-Key` as in the IETF's draft-ietf-httpapi-idempotency-key-header. The
record of the answer is written in the transaction of the effect: there is never
one without the other.
"""

import hashlib
import re
from collections.abc import Callable
from copy import deepcopy
from functools import partial, wraps
from typing import Any

from flask import Response, make_response, request

from chatstore.db import MAX_RETRIES, in_transaction
from chatstore.errors import IdempotencyKeyReused, MalformedRequest, OutcomeUnknown
from chatstore.models.access import KEY_LENGTH
from chatstore.store import access
from chatstore.web.auth import current_owner

HEADER = "Idempotency-Key"
_ENVIRON_NAME = "HTTP_IDEMPOTENCY_KEY"
REPLAYED = "Idempotency-Replayed"
# Headers that are part of the answer; the others are about its transport.
_KEPT_HEADERS = ("Content-Type", "ETag", "Location")


def idempotent(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a view, between its arguments and its response, to run once a key.

    Only what is committed is remembered: after an error the key is as good as new.
    A commit whose outcome is unknown is asked about under the same key, so that it
    is neither lost nor made twice.
    """

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = read_key()
        if key is None:
            return view(*args, **kwargs)
        work = partial(view, *args, **kwargs)
        for _ in range(MAX_RETRIES):
            try:
                return in_transaction(_run_once, key, work)
            except OutcomeUnknown:
                continue  # the record says whether it was committed
        return in_transaction(_run_once, key, work)

    wrapper._apidoc = deepcopy(getattr(view, "_apidoc", {}))  # type: ignore[attr-defined]
    wrapper._apidoc["is_idempotent"] = True  # type: ignore[attr-defined]
    return wrapper


def read_key() -> str | None:
    """Return the key of the request, without quotes; MalformedRequest if unfit."""
    if _ENVIRON_NAME not in request.environ:
        return None
    given = request.headers[HEADER]
    quoted = re.fullmatch(r'"((?:[^"\\]|\\["\\])*)"', given)
    if "," in given and not quoted:  # which is also how two headers arrive
        raise MalformedRequest(
            f"Send one {HEADER}; one with a comma in it goes in double quotes."
        )
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given
    if not re.fullmatch(f"[\x20-\x7e]{{1,{KEY_LENGTH}}}", key):
        raise MalformedRequest(
            f"{HEADER} must have 1 to {KEY_LENGTH} printable ASCII characters."
        )
    return key


def _run_once(key: str, work: Callable[[], Any]) -> Response:
    owner_id = current_owner()
    name = f"{request.method} {request.path.rstrip('/')}"
    digest = hashlib.sha256(request.get_data()).hexdigest()
    record = access.claim_record(
        owner_id=owner_id, key=key, request=name, body_sha256=digest
    )
    if record is not None:
        if (record.request, record.body_sha256) != (name, digest):
            raise IdempotencyKeyReused(key)
        replay = Response(record.answer, record.status, record.headers)
        replay.headers[REPLAYED] = "true"
        return replay
    response = make_response(work())
    kept = {
        header: response.headers[header]
        for header in _KEPT_HEADERS
        if header in response.headers
    }
    access.finish_record(
        owner_id=owner_id,
        key=key,
        status=response.status_code,
        answer=response.get_data(as_text=True),
        headers=kept,
    )
    return response
