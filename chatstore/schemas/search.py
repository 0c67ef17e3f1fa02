"""The shapes of a search query and of its hits."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from chatstore.enums import Role, SearchGroup, SearchSort
from chatstore.schemas.fields import (
    Id,
    Instant,
    QueryFlag,
    QueryInteger,
    at_most,
    within,
)
from chatstore.schemas.filters import SessionFilterSchema

MAX_PER_GROUP = 10


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


class _TotalSchema(Schema):
    """The number of hits, for answers with `count=true`."""

    total = fields.Integer(
        metadata={
            "description": "With `count=true`: the number of hits on all pages, or a"
            " lower bound.",
            "example": 41,
        }
    )
    total_is_exact = fields.Boolean(
        metadata={
            "description": "With `count=true`: whether `total` is exact, as it is up to"
            " 10,000 matches.",
            "example": True,
        }
    )


class HitPageSchema(_TotalSchema):
    """A page of hits; `hits` may be fewer than `limit` on any page."""

    hits = fields.List(fields.Nested(HitSchema), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null on the last."},
    )


class GroupSchema(Schema):
    """A session with its best hits."""

    session_id = fields.UUID(required=True)
    session_name = fields.String(
        required=True, allow_none=True, metadata={"example": "Choosing a pension plan"}
    )
    count = fields.Integer(
        required=True,
        metadata={
            "description": "The number of hits in the session, or a lower bound.",
            "example": 7,
        },
    )
    count_is_exact = fields.Boolean(
        required=True,
        metadata={
            "description": "Whether `count` is exact, as it is up to 10,000 matches in"
            " all sessions.",
            "example": True,
        },
    )
    hits = fields.List(fields.Nested(HitSchema), required=True)


class GroupPageSchema(_TotalSchema):
    """A page of sessions with hits; `groups` may be fewer than `limit` on any page."""

    groups = fields.List(fields.Nested(GroupSchema), required=True)
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
        metadata={
            "description": "relevance, the default; newest; or seq, with session_id:"
            " only messages, in the order of their seq."
        },
    )
    session_id = Id(metadata={"description": "Search only this session."})
    role = fields.Enum(Role, by_value=True)
    after = Instant(metadata={"description": "Only hits with a later timestamp."})
    before = Instant(metadata={"description": "Only hits with an earlier timestamp."})
    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most hits or groups to return; 20 by default."},
    )
    cursor = fields.String(
        metadata={"description": "The `next_cursor` of the previous page."}
    )
    count = QueryFlag(
        metadata={"description": "true: the answer has the `total` of hits."}
    )
    group = fields.Enum(
        SearchGroup,
        by_value=True,
        metadata={"description": "session: hits under their sessions."},
    )
    per_group = QueryInteger(
        validate=validate.Range(min=1, max=MAX_PER_GROUP),
        metadata={"description": "Most hits of a group; 3 by default."},
    )

    @validates_schema
    def _check_order(self, query: dict[str, Any], **kwargs: Any) -> None:
        if query.get("sort") is SearchSort.SEQ:
            if "session_id" not in query:
                raise ValidationError("The order by seq needs a session_id.", "sort")
            if "group" in query:
                raise ValidationError("Groups are not in the order of seq.", "sort")
        if "per_group" in query and "group" not in query:
            raise ValidationError("Give it together with group=session.", "per_group")
