"""Writes a value as a JSON response; names no schema."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson
from flask import Response
from marshmallow import Schema

from chatstore.schemas.dumping import compile_dump

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


@cache
def _dump_function(schema: type[Schema]) -> Callable[[Any], dict[str, Any]]:
    return compile_dump(schema())
