"""The shapes of a search query and of its hits."""

from marshmallow import Schema, fields, validate

from chatstore.enums import Role, SearchSort
from chatstore.schemas.fields import Id, Instant, QueryInteger, at_most, within
from chatstore.schemas.filters import SessionFilterSchema


class HitSchema(Schema):
    """A message that matches, or a session with a name that matches."""

    session_id = fields.UUID(required=True)
    session_name = fields.String(
        required=True, allow_none=True, metadata={"example": "Choosing a pension plan"}
    )
    message_id = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "Null if the name of the session matches.",
            "example": 17,
        },
    )
    seq = fields.Integer(required=True, allow_none=True, metadata={"example": 1})
    role = fields.String(
        required=True, allow_none=True, validate=validate.OneOf([*Role, None])
    )
    timestamp = Instant(
        required=True,
        metadata={"description": "Time of the message, or of the session's creation."},
    )
    snippet = fields.String(
        required=True,
        metadata={
            "description": "About 160 characters around the first match, as text.",
            "example": "How can I find the best plan for my needs?",
        },
    )
    matches = fields.List(
        fields.List(fields.Integer(), validate=validate.Length(equal=2)),
        required=True,
        metadata={
            "description": "Matches in the snippet as [from, to] with an exclusive end,"
            " in Unicode code points.",
            "example": [[24, 28]],
        },
    )
    score = fields.Float(
        required=True,
        metadata={"description": "Relevance, from 0 to 1.", "example": 0.74},
    )
    indexed_in_part = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether the text is too long to be indexed whole.",
            "example": False,
        },
    )


class HitPageSchema(Schema):
    """A page of hits; `hits` may be fewer than `limit` on any page."""

    hits = fields.List(fields.Nested(HitSchema), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null on the last."},
    )


class SearchQuerySchema(SessionFilterSchema):
    """The query string of a search."""

    q = fields.String(
        required=True,
        validate=within("max_query_length", len, "characters"),
        metadata={
            "description": 'Words that must occur; "a phrase", -without, begin*.',
            "example": "pension plan",
        },
    )
    sort = fields.Enum(
        SearchSort,
        by_value=True,
        metadata={"description": "relevance, the default, or newest."},
    )
    session_id = Id(metadata={"description": "Search only this session."})
    role = fields.Enum(Role, by_value=True)
    after = Instant(metadata={"description": "Only hits with a later timestamp."})
    before = Instant(metadata={"description": "Only hits with an earlier timestamp."})
    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most hits to return; 20 by default."},
    )
    cursor = fields.String(
        metadata={"description": "The `next_cursor` of the previous page."}
    )
