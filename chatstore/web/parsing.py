"""Reads request bodies and query strings, refusing whatever is not declared.

JSON goes through `strict_json`: Python's own parser accepts NaN, NUL and lone
surrogates, and fails on deep JSON and on long numbers.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from flask import Request, current_app, request
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
from chatstore.strict_json import pointer

# Objects take twenty times the bytes of their JSON. So a process makes those of one
# larger body at a time, and holds up no smaller one for it.
LARGE_BYTES = 1024 * 1024
large_bodies = Turns(width=1, wanted_by="large bodies")


def load_body(shape: Schema) -> Any:
    """Return what `shape` loads from the JSON body of the request."""
    settings: Settings = current_app.config["CHATSTORE"]
    body = read_json_body(request, settings)
    with _turn_of(body):
        return load(shape, parse(body, shape, settings), settings)


def load_query(shape: Schema) -> Any:
    """Return what `shape` loads from the query string of the request."""
    return load(shape, read_query(request, shape), current_app.config["CHATSTORE"])


def _turn_of(body: bytes) -> AbstractContextManager[None]:
    if len(body) <= LARGE_BYTES:
        return nullcontext()
    return large_bodies.taken("process", new_deadline())


def load(shape: Schema, given: Any, settings: Settings) -> Any:
    """Return what `shape` makes of `given`; ValidationFailed names what is wrong."""
    try:
        with Limits(settings):
            return shape.load(given)
    except ValidationError as error:
        raise ValidationFailed(flatten(error.messages)) from None


def parse(body: bytes, shape: Schema, settings: Settings) -> Any:
    """Return the value that the JSON stands for."""
    return strict_json.loads(
        body,
        max_depth=settings.max_json_depth,
        levels_around=getattr(shape, "levels_around", 0),
    )


def read_json_body(req: Request, settings: Settings) -> bytes:
    """Return the body of a request that says it is JSON."""
    encoding = req.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(
            f"The body has Content-Encoding {encoding[:100]!r}: send it uncompressed,"
            " without this header."
        )
    if not req.is_json:
        raise UnsupportedMediaType(
            f"The body must be sent as application/json, not"
            f" {req.mimetype or 'without a Content-Type'}."
        )
    charset = req.mimetype_params.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(
            f"The body has charset {charset[:100]!r}: send JSON in UTF-8."
        )
    return read_body(req, settings)


def read_query(req: Request, shape: Schema) -> dict[str, Any]:
    """Return the parameters of the query string; only those that are lists repeat."""
    if not req.query_string:
        return {}
    lists = {
        name for name, field in shape.fields.items() if isinstance(field, fields.List)
    }
    refuse_repeated_parameters(req, besides=lists)
    return {
        name: values if name in lists else values[0]
        for name, values in req.args.lists()
    }


def read_body(req: Request, settings: Settings) -> bytes:
    """Return the body of the request; RequestEntityTooLarge beyond the limit."""
    most = settings.max_body_bytes
    # Of a body without a length Werkzeug reads as much as may be, and drops the rest
    # in silence: one byte more tells.
    req.max_content_length = most + 1
    try:
        body = req.get_data()
    except (HTTPException, RequestTimeout):
        raise
    except Exception as error:  # the server's own, for damaged chunks
        raise MalformedRequest("The body breaks off, or is damaged.") from error
    if len(body) > most:
        raise RequestEntityTooLarge
    if len(body) < (req.content_length or 0):
        # What came of it may be whole JSON all the same.
        raise MalformedRequest("The body breaks off before its Content-Length.")
    return body


def flatten(messages: Any, place: str = "") -> Iterator[Flaw]:
    """Turn marshmallow's tree of messages into flaws, depth first."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from flatten(
                below, place if key == "_schema" else pointer(place, key)
            )
    else:
        for message in [messages] if isinstance(messages, str) else messages:
            yield Flaw(place, message)


def refuse_repeated_parameters(req: Request, *, besides: Collection[str] = ()) -> None:
    """Raise ValidationFailed for a query parameter that is given twice."""
    flaws = [
        Flaw(pointer("", name), "Given more than once.")
        for name, values in req.args.lists()
        if len(values) > 1 and name not in besides
    ]
    if flaws:
        raise ValidationFailed(flaws)
