"""The shape of every error: problem details for HTTP APIs (RFC 9457)."""

from marshmallow import Schema, fields


class FlawSchema(Schema):
    """One thing wrong with a request."""

    pointer = fields.String(
        required=True,
        metadata={"description": "JSON pointer (RFC 6901)", "example": "/content"},
    )
    detail = fields.String(
        required=True, metadata={"example": "Missing data for required field."}
    )


class ProblemSchema(Schema):
    """An error."""

    type = fields.String(
        required=True, metadata={"example": "urn:chatstore:problem:validation-failed"}
    )
    title = fields.String(required=True, metadata={"example": "Validation failed"})
    status = fields.Integer(required=True, metadata={"example": 422})
    detail = fields.String(
        required=True,
        metadata={"example": "The request is not valid: see /content."},
    )
    request_id = fields.String(
        required=True, metadata={"example": "0f0e5b6d5f6c4c7f8f0a0d9e8c7b6a51"}
    )
    errors = fields.List(
        fields.Nested(FlawSchema),
        metadata={"description": "With 422: one entry for each mistake."},
    )
    last_seq = fields.Integer(
        metadata={
            "description": "With 409: the last seq of the session.",
            "example": 2,
        },
    )
    head_seq = fields.Integer(
        metadata={
            "description": "With 409: the seq of the session's head.",
            "example": 2,
        },
    )
    limit = fields.Integer(
        metadata={"description": "With 403: the quota of the owner.", "example": 1000},
    )
    used = fields.Integer(
        metadata={
            "description": "With 403: how much of the quota the owner uses.",
            "example": 1000,
        },
    )
