"""The shapes of the answers to monitors."""

from marshmallow import Schema, fields


class HealthSchema(Schema):
    """The status of the process, or of the process and its database."""

    status = fields.String(required=True, metadata={"example": "ok"})
