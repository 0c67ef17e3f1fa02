"""The shapes of edits, earlier revisions and feedback."""

from typing import Any

from marshmallow import Schema, fields, post_load, validate

from chatstore.clock import format_instant
from chatstore.schemas.fields import (
    BodyInteger,
    FreeJson,
    Id,
    Instant,
    QueryInteger,
    QueryString,
    Tags,
    Text,
    at_most,
    json_bytes,
    within,
)
from chatstore.schemas.filters import SessionFilterSchema
from chatstore.schemas.messages import (
    Content,
    ExtraSchema,
    MessageSchema,
    check_extra,
    text_bytes,
)
from chatstore.strict_json import MAX_INTEGER

COMMENT_LENGTH = 10_000
RATINGS = (1, -1)
_CONTENT = {
    "description": "Text, a list of parts, or null.",
    "example": "Which plan is the best for me?",
}


class MessageUpdateSchema(ExtraSchema):
    """The body that edits a message; fields that it omits stay, null removes one."""

    content = Content(
        allow_none=True,
        validate=within("max_content_bytes", text_bytes, "bytes of UTF-8"),
        metadata=_CONTENT,
    )
    metadata = FreeJson(
        allow_none=True,
        validate=within("max_metadata_bytes", json_bytes, "bytes of JSON"),
        metadata={"example": {"tokens": 9}},
    )

    @post_load
    def _prepare_extra(self, changes: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if changes.get("created_at") is not None:
            changes["created_at"] = format_instant(changes["created_at"])
        extra = {
            name: value
            for name, value in changes.items()
            if name not in ("content", "metadata")
        }
        if isinstance(changes.get("content"), list):
            extra["parts"] = changes["content"]
        if extra:
            check_extra(extra)
        return changes


class PlainRevisionSchema(Schema):
    """The fields that every earlier revision of a message has."""

    revision = fields.Integer(required=True, metadata={"example": 1})
    written_at = Instant(required=True)
    content = fields.String(required=True, metadata=_CONTENT)
    metadata = FreeJson(attribute="metadata_", required=True, allow_none=True)


class RevisionSchema(PlainRevisionSchema, ExtraSchema):
    """What a message said before an edit, with the other fields that it had."""

    parts = fields.List(FreeJson(), allow_none=True)


class RevisionPageSchema(Schema):
    """A page of earlier revisions, newest first."""

    revisions = fields.List(fields.Nested(RevisionSchema), required=True)
    has_more = fields.Boolean(
        required=True, metadata={"description": "Whether older revisions follow."}
    )


class RevisionQuerySchema(Schema):
    """The query string of a list of earlier revisions."""

    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most revisions to return; 50 by default."},
    )
    before = QueryInteger(
        validate=validate.Range(min=1, max=MAX_INTEGER),
        metadata={"description": "Only revisions with a smaller number."},
    )


class ClearedSchema(Schema):
    """How many messages a request deleted."""

    cleared = fields.Integer(required=True, metadata={"example": 12})


class FeedbackSchema(Schema):
    """The body that rates a message; it replaces earlier feedback."""

    rating = BodyInteger(
        allow_none=True,
        validate=validate.OneOf(RATINGS),
        metadata={"description": "1, -1 or null.", "example": 1},
    )
    comment = Text(
        allow_none=True,
        validate=validate.Length(max=COMMENT_LENGTH),
        metadata={"example": "Exactly what I needed."},
    )
    labels = Tags(allow_none=True, metadata={"example": ["helpful"]})

    @post_load
    def _drop_empty(self, feedback: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in feedback.items() if value}


class FeedbackQuerySchema(SessionFilterSchema):
    """The query string of the list of rated messages."""

    rating = QueryInteger(
        validate=validate.OneOf(RATINGS),
        metadata={"description": "Only messages with this rating: 1 or -1."},
    )
    model = QueryString(
        validate=validate.Length(max=255),
        metadata={
            "description": "Only messages of this `model`; a message without one has"
            " the `llm_model_name` of its session."
        },
    )
    since = Instant(metadata={"description": "Only messages not older than this."})
    until = Instant(metadata={"description": "Only messages older than this."})
    session_id = Id(metadata={"description": "Only messages of this session."})
    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most messages to return; 50 by default."},
    )
    cursor = fields.String(
        metadata={"description": "The `next_cursor` of the previous page."}
    )


class FeedbackPageSchema(Schema):
    """A page of messages with feedback, newest first."""

    messages = fields.List(fields.Nested(MessageSchema), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null on the last."},
    )
