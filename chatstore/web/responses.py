"""Makes a response of what a view returns; must not know any shape by name."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import orjson
from flask import Response
from marshmallow import Schema
from werkzeug.wrappers import Response as BaseResponse

from chatstore.schemas.dumping import compile_dump


def answering(
    status: int, schema: Schema
) -> Callable[[Callable[..., Any]], Callable[..., BaseResponse]]:
    """Decorate a view that returns what `schema` dumps, perhaps with headers.

    A view may return a response of its own instead.
    """
    dump = compile_dump(schema)

    def decorator(view: Callable[..., Any]) -> Callable[..., BaseResponse]:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> BaseResponse:
            result = view(*args, **kwargs)
            if isinstance(result, BaseResponse):
                return result
            # A row is a tuple too, but of a class of its own.
            value, headers = result if type(result) is tuple else (result, None)
            return Response(
                orjson.dumps(dump(value)),
                status,
                headers,
                content_type="application/json",
            )

        return wrapper

    return decorator
