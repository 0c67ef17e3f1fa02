"""The shapes of tags and models, with the number of their sessions."""

from marshmallow import Schema, fields, validate

from chatstore.schemas.fields import QueryInteger, QueryString, Tag, at_most, within
from chatstore.schemas.filters import ArchivedField, SessionFilterSchema

_COUNT = {
    "description": "Number of sessions with this tag or model, archived ones too.",
    "example": 3,
}


class TagCountSchema(Schema):
    """A tag, and how many sessions have it."""

    tag = fields.String(
        attribute="value", required=True, metadata={"example": "support"}
    )
    sessions = fields.Integer(required=True, metadata=_COUNT)


class TagRenameSchema(Schema):
    """The body that renames a tag in all sessions."""

    from_ = Tag(data_key="from", required=True, metadata={"example": "suport"})
    to = Tag(required=True, metadata={"example": "support"})


class TagDeleteSchema(Schema):
    """The body that removes a tag from all sessions."""

    tag = Tag(required=True, metadata={"example": "support"})


class TagChangedSchema(Schema):
    """The answer to a change of a tag."""

    changed = fields.Integer(
        required=True,
        metadata={"description": "Number of sessions that changed.", "example": 3},
    )


class TagListSchema(Schema):
    """The tags in use, the most common first."""

    tags = fields.List(fields.Nested(TagCountSchema), required=True)


class ModelCountSchema(Schema):
    """A model, and how many sessions have it."""

    model = fields.String(
        attribute="value", required=True, metadata={"example": "gpt-4o-mini"}
    )
    sessions = fields.Integer(required=True, metadata=_COUNT)


class ModelListSchema(Schema):
    """The models in use, the most common first."""

    models = fields.List(fields.Nested(ModelCountSchema), required=True)


class FacetQuerySchema(Schema):
    """The query string of a list of tags or models."""

    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={
            "description": "Maximum number of items; by default"
            " CHATSTORE_MAX_PAGE_SIZE."
        },
    )


class TagQuerySchema(SessionFilterSchema, FacetQuerySchema):
    """The query string of the list of tags."""

    archived = ArchivedField(
        metadata={
            "description": "any, the default; true or false: only tags of sessions that"
            " are archived or not."
        },
    )
    prefix = QueryString(
        validate=within("max_tag_length", len, "characters"),
        metadata={"description": "Only tags that begin with this text, in any case."},
    )
