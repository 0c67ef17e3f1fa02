"""The shapes of tags and models, with the number of their sessions."""

from marshmallow import Schema, fields, validate

from chatstore.schemas.fields import QueryInteger, at_most

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
