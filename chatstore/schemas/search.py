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
            "description": "Null when it is the name that matches.",
            "example": 17,
        },
    )
    seq = fields.Integer(required=True, allow_none=True, metadata={"example": 1})
    role = fields.String(
        required=True, allow_none=True, validate=validate.OneOf([*Role, None])
    )
    timestamp = Instant(
        required=True,
        metadata={"description": "Of the message; when the session was created."},
    )
    snippet = fields.String(
        required=True,
        metadata={
            "description": "About 160 characters around the first match; no HTML.",
            "example": "How can I find the best plan for my needs?",
        },
    )
    matches = fields.List(
        fields.List(fields.Integer(), validate=validate.Length(equal=2)),
        required=True,
        metadata={
            "description": "Where in the snippet the matches are: from and up to which"
            " character, counted in Unicode code points.",
            "example": [[24, 28]],
        },
    )
    score = fields.Float(
        required=True,
        metadata={"description": "From 0 to 1: how well it matches.", "example": 0.74},
    )
    indexed_in_part = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether it is so long that its end is not searched.",
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
            "description": 'Words that must be there; "a phrase", -without, begin*.',
            "example": "pension plan",
        },
    )
    sort = fields.Enum(
        SearchSort,
        by_value=True,
        metadata={"description": "relevance, the default, or newest."},
    )
    session_id = Id(metadata={"description": "Only in this session."})
    role = fields.Enum(Role, by_value=True)
    after = Instant(metadata={"description": "Only what has a later timestamp."})
    before = Instant(metadata={"description": "Only what has an earlier timestamp."})
    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "How many hits at most; 20 by default."},
    )
    cursor = fields.String(metadata={"description": "The `next_cursor` of a page."})
