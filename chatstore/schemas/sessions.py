"""The shapes of sessions: what comes in, what goes out."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from chatstore.schemas.fields import Instant, QueryInteger, at_most, strings

_DOCUMENTS: dict[str, Any] = {
    "most": "max_documents",
    "longest": "max_document_id_length",
    "example": ["handbook-2026"],
}
_TAGS: dict[str, Any] = {
    "most": "max_tags",
    "longest": "max_tag_length",
    "example": ["support"],
}
_TITLE = {"example": "Choosing a pension plan"}
_MODEL = {"example": "gpt-4o-mini"}


class SessionSchema(Schema):
    """A session, as it is sent."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True, metadata=_TITLE)
    created_at = Instant(required=True)
    last_updated_at = Instant(
        required=True,
        metadata={"description": "When its last message came, or it was created."},
    )
    llm_model_name = fields.String(required=True, metadata=_MODEL)
    rag_document_ids = fields.List(fields.String(), required=True)
    metadata_tags = fields.List(fields.String(), required=True)
    message_count = fields.Integer(required=True, metadata={"example": 2})
    last_message_preview = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Up to 200 characters of its last message."},
    )
    pinned = fields.Boolean(required=True)
    archived = fields.Boolean(required=True)
    archived_at = Instant(required=True, allow_none=True)


class SessionPageSchema(Schema):
    """A page of the list of sessions."""

    sessions = fields.List(fields.Nested(SessionSchema), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null on the last."},
    )


class SessionCreateSchema(Schema):
    """The body that creates a session; all of it may be left out."""

    name = fields.String(
        allow_none=True, validate=validate.Length(max=255), metadata=_TITLE
    )
    llm_model_name = fields.String(
        validate=validate.Length(min=1, max=255), metadata=_MODEL
    )
    rag_document_ids = strings(**_DOCUMENTS)
    metadata_tags = strings(**_TAGS)


class SessionUpdateSchema(SessionCreateSchema):
    """The body that changes a session: what is left out stays."""


class SessionQuerySchema(Schema):
    """The query string of the list of sessions."""

    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "How many sessions at most; 50 by default."},
    )
    offset = QueryInteger(
        validate=[validate.Range(min=0), at_most("max_offset")],
        metadata={"description": "How many sessions to pass over; not with `cursor`."},
    )
    cursor = fields.String(
        metadata={"description": "The `next_cursor` of the page before."}
    )

    @validates_schema
    def _one_way_to_page(self, query: dict[str, Any], **kwargs: Any) -> None:
        if "offset" in query and "cursor" in query:
            raise ValidationError("Give offset or cursor, not both.", "offset")
