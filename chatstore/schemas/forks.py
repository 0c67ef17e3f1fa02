"""The shapes of forks in requests."""

from marshmallow import Schema, validate

from chatstore.schemas.fields import BodyInteger, Text
from chatstore.strict_json import MAX_INTEGER


class ForkCreateSchema(Schema):
    """The body that copies a branch of a session; every field is optional."""

    at_seq = BodyInteger(
        validate=validate.Range(min=1, max=MAX_INTEGER),
        metadata={
            "description": "Seq of the last message to copy; by default the head.",
            "example": 1,
        },
    )
    name = Text(
        allow_none=True,
        validate=validate.Length(max=255),
        metadata={
            "description": "Name of the new session; by default the same name.",
            "example": "Another plan",
        },
    )
