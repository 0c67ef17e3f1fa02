"""Writes a value as a JSON response."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson
from flask import Response
from marshmallow import Schema

from chatstore.schemas.dumping import compile_dump
from chatstore.schemas.messages import PlainMessageSchema
from chatstore.store.json_rows import AppendedMessage

JSON = "application/json"


def json_response(
    schema: type[Schema],
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response whose body is `value` as `schema` dumps it."""
    body = orjson.dumps(_dump_function(schema)(value))
    return Response(body, status, headers, content_type=JSON)


def message_json(message: AppendedMessage) -> str:
    """Return the JSON text of an appended message, as later reads answer it."""
    members = _dump_function(PlainMessageSchema)(message)
    if message.parent_seq is not None:
        members["parent_seq"] = message.parent_seq
    return orjson.dumps(members | (message.extra or {})).decode()


@cache
def _dump_function(schema: type[Schema]) -> Callable[[Any], dict[str, Any]]:
    return compile_dump(schema())
