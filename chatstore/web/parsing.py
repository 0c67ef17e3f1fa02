"""Reads request bodies and query strings; refuses what a schema does not declare.

JSON goes through `strict_json`: Python's own parser accepts NaN, NUL and lone
surrogates, and fails on deep JSON and on long numbers.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from flask import current_app, request
from marshmallow import Schema, ValidationError, fields
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from chatstore import strict_json
from chatstore.db import new_deadline
from chatstore.db.turns import Turns
from chatstore.errors import (
    Flaw,
    MalformedRequest,
    RequestTimeout,
    UnsupportedMediaType,
    ValidationFailed,
)
from chatstore.schemas.fields import Limits
from chatstore.settings import Settings
from chatstore.strict_json import child_pointer

# Objects take twenty times the bytes of their JSON, so a process parses one larger
# body at a time. Smaller bodies do not wait for it.
LARGE_BYTES = 1024 * 1024
large_bodies = Turns(places=1, waiters="large bodies")


def load_body(schema: Schema) -> Any:
    """Return what `schema` loads from the JSON body of the request.

    Raises UnsupportedMediaType, RequestEntityTooLarge, MalformedRequest and
    ValidationFailed, in this order.
    """
    settings: Settings = current_app.config["CHATSTORE"]
    _require_json()
    body = _read_body(settings.max_body_bytes)
    with _large_body_turn(body):
        parsed = strict_json.loads(
            body,
            max_depth=settings.max_json_depth,
            uncounted_levels=getattr(schema, "uncounted_levels", 0),
        )
        return _load(schema, parsed, settings)


def load_query(schema: Schema) -> Any:
    """Return what `schema` loads from the query string; raises ValidationFailed."""
    return _load(schema, _read_query(schema), current_app.config["CHATSTORE"])


def _load(schema: Schema, parsed: Any, settings: Settings) -> Any:
    try:
        with Limits(settings):
            return schema.load(parsed)
    except ValidationError as error:
        raise ValidationFailed(_flaws(error.messages)) from None


def _flaws(messages: Any, parent: str = "") -> Iterator[Flaw]:
    """Yield a flaw for each of marshmallow's nested messages, depth first."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from _flaws(
                below, parent if key == "_schema" else child_pointer(parent, key)
            )
    else:
        for message in [messages] if isinstance(messages, str) else messages:
            yield Flaw(parent, message)


def _read_query(schema: Schema) -> dict[str, Any]:
    """Return a list for each name of a list field, and a string for other names."""
    if not request.query_string:
        return {}
    lists = {
        name for name, field in schema.fields.items() if isinstance(field, fields.List)
    }
    repeated = [
        Flaw(child_pointer("", name), "It is given more than once.")
        for name, values in request.args.lists()
        if len(values) > 1 and name not in lists
    ]
    if repeated:
        raise ValidationFailed(repeated)
    return {
        name: values if name in lists else values[0]
        for name, values in request.args.lists()
    }


def _require_json() -> None:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The body has Content-Encoding {encoding[:100]!r}. Send it uncompressed,"
            " without this header."
        )
    if not request.is_json:
        raise UnsupportedMediaType(
            f"The body must be sent as application/json, not"
            f" {request.mimetype or 'without a Content-Type'}."
        )
    charset = request.mimetype_params.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(
            f"The body has charset {charset[:100]!r}. Send JSON in UTF-8."
        )


def _read_body(max_bytes: int) -> bytes:
    # Werkzeug cuts a body without a length off at the limit, and raises nothing, so we
    # allow one byte more and see whether it comes.
    request.max_content_length = max_bytes + 1
    try:
        body = request.get_data()
    except (HTTPException, RequestTimeout):
        raise
    except Exception as error:  # the server's own, for damaged chunks
        raise MalformedRequest("The body is incomplete or damaged.") from error
    if len(body) > max_bytes:
        raise RequestEntityTooLarge
    if len(body) < (request.content_length or 0):
        # The part that arrived may be valid JSON, so parsing would not notice.
        raise MalformedRequest("The body is shorter than its Content-Length.")
    return body


def _large_body_turn(body: bytes) -> AbstractContextManager[None]:
    if len(body) <= LARGE_BYTES:
        return nullcontext()
    return large_bodies.taken("process", new_deadline())
