"""The shapes of messages in requests and answers."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from chatstore.enums import Order, Role
from chatstore.schemas.fields import (
    BodyInteger,
    FreeJson,
    Instant,
    QueryInteger,
    Text,
    at_most,
    json_bytes,
    utf8_bytes,
    within,
)
from chatstore.strict_json import MAX_INTEGER

_CONTENT = {"example": "How can I find the best plan for my needs?"}
_METADATA = {
    "description": "Your own JSON object. Reads return it unchanged.",
    "example": {"tokens": 11},
}


class MessageSchema(Schema):
    """A message in an answer."""

    id = fields.Integer(required=True, metadata={"example": 17})
    session_id = fields.UUID(required=True)
    seq = fields.Integer(
        required=True,
        metadata={
            "description": "Number of the message in its session: 1, 2, 3 …",
            "example": 1,
        },
    )
    timestamp = Instant(required=True)
    role = fields.String(required=True, validate=validate.OneOf(list(Role)))
    content = fields.String(required=True, metadata=_CONTENT)
    metadata = FreeJson(
        attribute="metadata_",
        required=True,
        allow_none=True,
        metadata=_METADATA,
    )


class MessageListSchema(Schema):
    """A list of messages, in the order asked for."""

    messages = fields.List(fields.Nested(MessageSchema), required=True)
    has_more = fields.Boolean(
        required=True,
        metadata={"description": "Whether `limit` cut the list."},
    )


_EXPECTED_SEQ: dict[str, Any] = {
    "validate": validate.Range(min=1, max=MAX_INTEGER),
    "metadata": {
        "description": "Seq that the (first) message must get; 409 otherwise.",
        "example": 1,
    },
}


class TurnSchema(Schema):
    """The fields of a message that a client sends."""

    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {"properties": {"content": {"minLength": 1}}},
            {
                "required": ["metadata"],
                "properties": {"metadata": {"type": "object", "minProperties": 1}},
            },
        ]
    }

    content = Text(
        required=True,
        validate=within("max_content_bytes", utf8_bytes, "bytes of UTF-8"),
        metadata=_CONTENT,
    )
    role = fields.Enum(Role, by_value=True, load_default=Role.USER)
    metadata = FreeJson(
        allow_none=True,
        load_default=None,
        validate=within("max_metadata_bytes", json_bytes, "bytes of JSON"),
        metadata=_METADATA,
    )

    @validates_schema
    def _something_to_store(self, message: dict[str, Any], **kwargs: Any) -> None:
        if not message["content"] and not message["metadata"]:
            raise ValidationError(
                "It may be empty only if the message has metadata.", "content"
            )


class MessageCreateSchema(TurnSchema):
    """The body that appends a message."""

    expected_seq = BodyInteger(**_EXPECTED_SEQ)


class MessageBatchSchema(Schema):
    """The body that appends several messages, all or none."""

    # A message may nest as deep as one that is sent alone, so the body and its list do
    # not count.
    levels_around = 2

    messages = fields.List(
        fields.Nested(TurnSchema),
        required=True,
        validate=[validate.Length(min=1), within("max_batch_size", len, "items")],
    )
    expected_seq = BodyInteger(**_EXPECTED_SEQ)


class MessageBatchAnswerSchema(Schema):
    """The messages of a batch, as they were stored."""

    messages = fields.List(fields.Nested(MessageSchema), required=True)


class MessageQuerySchema(Schema):
    """The query string of a list of messages."""

    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most messages to return; all of them by default."},
    )
    after = QueryInteger(
        validate=validate.Range(min=0, max=MAX_INTEGER),
        metadata={"description": "Only messages with a greater seq."},
    )
    before = QueryInteger(
        validate=validate.Range(min=0, max=MAX_INTEGER),
        metadata={"description": "Only messages with a smaller seq."},
    )
    order = fields.Enum(
        Order,
        by_value=True,
        metadata={"description": "asc, the default: oldest first; desc: newest first."},
    )
    role = fields.Enum(Role, by_value=True)
