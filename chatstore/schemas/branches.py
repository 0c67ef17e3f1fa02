"""The shapes of paths, and the field that names one."""

import re
from typing import Any

from marshmallow import Schema, fields, validate

from chatstore.schemas.fields import QueryInteger
from chatstore.strict_json import MAX_INTEGER


class PathHead(fields.String):
    """The word `head`, loaded as 0, or the seq of a message."""

    default_error_messages = {"form": "It is neither head nor the seq of a message."}
    _form = "head|[1-9][0-9]{0,15}"

    def __init__(self, *, metadata: dict[str, Any]) -> None:
        super().__init__(metadata={"pattern": f"^({self._form})$", **metadata})

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        if not re.fullmatch(self._form, text):
            raise self.make_error("form")
        return 0 if text == "head" else int(text)


class PathQuerySchema(Schema):
    """The query string of a path."""

    head = QueryInteger(
        validate=validate.Range(min=1, max=MAX_INTEGER),
        metadata={
            "description": "Seq of the last message; the session's head by default."
        },
    )


class PathSchema(Schema):
    """The path from the beginning of a conversation to one message."""

    head_seq = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Seq of its last message; null if the session is empty.",
            "example": 47,
        },
    )
    length = fields.Integer(
        required=True,
        metadata={"description": "Number of its messages.", "example": 40},
    )
    runs = fields.List(
        fields.List(fields.Integer()),
        required=True,
        metadata={
            "description": "Its runs of consecutive seqs, each as [first, last].",
            "example": [[1, 12], [20, 47]],
        },
    )
