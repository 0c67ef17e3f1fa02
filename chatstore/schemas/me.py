"""The shape of what the API tells a caller about itself."""

from dataclasses import fields as settings_of
from typing import Any

from marshmallow import Schema, fields

from chatstore.schemas.fields import Instant
from chatstore.settings import Settings

_OTHER_LIMITS = ("default_page_size", "request_read_seconds")
# Every setting that bounds what a client sends or gets.
LIMITS = tuple(
    each.name
    for each in settings_of(Settings)
    if each.name.startswith("max_") or each.name in _OTHER_LIMITS
)


def _limit(name: str) -> Any:
    setting = next(each for each in settings_of(Settings) if each.name == name)
    meaning: str = setting.metadata["meaning"]
    description = f"{meaning[0].upper()}{meaning[1:]}."
    example = {"description": description, "example": setting.default}
    return fields.Integer(required=True, metadata=example)


LimitsSchema = Schema.from_dict(
    {name: _limit(name) for name in LIMITS}, name="LimitsSchema"
)


class MeSchema(Schema):
    """The caller, and what applies to its requests."""

    owner = fields.String(
        required=True,
        metadata={
            "description": "Whose sessions the requests read and change.",
            "example": "local",
        },
    )
    scopes = fields.List(
        fields.String(),
        required=True,
        metadata={"example": ["read", "write", "admin"]},
    )
    limits = fields.Nested(LimitsSchema, required=True)
    default_model_name = fields.String(
        required=True,
        metadata={
            "description": "Model of a session that is created without one.",
            "example": "gpt-4o-mini",
        },
    )
    server_time = Instant(required=True)
    server_version = fields.String(required=True, metadata={"example": "1.0.0"})
