"""The shapes of the answers to monitors."""

from marshmallow import Schema, fields


class HealthSchema(Schema):
    """Whether the process, or all it needs, is there."""

    status = fields.String(required=True, metadata={"example": "ok"})
