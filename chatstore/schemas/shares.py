"""The shapes of links that share a session, and of what they show."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from chatstore.schemas.fields import (
    BodyInteger,
    Flag,
    Instant,
    QueryInteger,
    at_most,
)
from chatstore.schemas.messages import MessageSchema
from chatstore.strict_json import MAX_INTEGER

_LONGEST_SECONDS = 10 * 366 * 86_400


class ShareCreateSchema(Schema):
    """The body that creates a link; every field is optional."""

    live = Flag(
        load_default=False,
        metadata={
            "description": "Whether the link also shows messages that come later.",
            "example": False,
        },
    )
    expires_at = Instant(
        metadata={"description": "When the link ends; by default it does not."}
    )
    expires_in_seconds = BodyInteger(
        validate=validate.Range(min=1, max=_LONGEST_SECONDS),
        metadata={"description": "Instead of `expires_at`.", "example": 604_800},
    )
    json_schema: ClassVar[dict[str, Any]] = {
        "not": {"required": ["expires_at", "expires_in_seconds"]}
    }

    @validates_schema(skip_on_field_errors=False)
    def _check_end(self, body: dict[str, Any], **kwargs: Any) -> None:
        if {"expires_at", "expires_in_seconds"} <= body.keys():
            raise ValidationError(
                "Give expires_at or expires_in_seconds, not both.", "expires_at"
            )


class ShareSchema(Schema):
    """A link that shares a session, without its token."""

    id = fields.String(required=True, metadata={"example": "4fGh8sKq2LxZ"})
    live = fields.Boolean(required=True, metadata={"example": False})
    created_at = Instant(required=True)
    expires_at = Instant(required=True, allow_none=True)
    revoked_at = Instant(required=True, allow_none=True)
    reads = fields.Integer(
        required=True,
        metadata={
            "description": "How often the first page was read; a minute late.",
            "example": 12,
        },
    )
    last_read_at = Instant(required=True, allow_none=True)


class CreatedShareSchema(ShareSchema):
    """A new link, with its token, which is shown only now."""

    token = fields.String(required=True, metadata={"example": "chl_4fGh8sKq2LxZ…"})
    url = fields.String(
        required=True,
        metadata={
            "description": "The path that the link reads.",
            "example": "/api/v1/shared/chl_4fGh8sKq2LxZ…",
        },
    )


class ShareListSchema(Schema):
    """The links of a session, newest first."""

    shares = fields.List(fields.Nested(ShareSchema), required=True)


class SharedQuerySchema(Schema):
    """The query string of a read by a link."""

    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most messages to return; 50 by default."},
    )
    after = QueryInteger(
        load_default=0,
        validate=validate.Range(min=0, max=MAX_INTEGER),
        metadata={"description": "Only messages with a greater seq."},
    )


class SharedMessageSchema(MessageSchema):
    """What a link shows of a message."""

    class Meta:
        exclude = (
            "id",
            "session_id",
            "metadata",
            "parent_seq",
            "revision",
            "feedback",
            "usage",
            "siblings",
            "matches",
        )


class SharedSessionSchema(Schema):
    """What a link shows of a session."""

    name = fields.String(
        required=True, allow_none=True, metadata={"example": "Choosing a plan"}
    )
    llm_model_name = fields.String(required=True, metadata={"example": "gpt-4o-mini"})
    created_at = Instant(required=True)
    message_count = fields.Integer(
        required=True,
        metadata={
            "description": "Messages that the link shows, deleted ones included.",
            "example": 2,
        },
    )


class SharedPageSchema(Schema):
    """A session as a link shows it, with a page of its messages in order of seq."""

    session = fields.Nested(SharedSessionSchema, required=True)
    live = fields.Boolean(required=True, metadata={"example": False})
    expires_at = Instant(required=True, allow_none=True)
    messages = fields.List(fields.Nested(SharedMessageSchema), required=True)
    has_more = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether messages follow; ask with the last seq as `after`."
        },
    )
