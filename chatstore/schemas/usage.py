"""The shapes of what was used, by period."""

import re
from datetime import date
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from chatstore.enums import Role, UsageBucket, UsageSplit
from chatstore.periods import (
    DEFAULT_PERIODS,
    MAX_PERIODS,
    DayOrInstant,
    known_zones,
)
from chatstore.schemas.fields import Instant, QueryString

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class DayOrInstantField(QueryString):
    """A date, such as 2026-11-28, or an RFC 3339 instant."""

    _instant = Instant(
        error_messages={
            "invalid": "It is neither a date, such as 2026-11-28, nor an RFC 3339"
            " instant, such as 2026-11-28T10:00:00Z."
        }
    )

    def _deserialize(  # type: ignore[override]
        self, value: Any, *args: Any, **kwargs: Any
    ) -> DayOrInstant:
        text = super()._deserialize(value, *args, **kwargs)
        if _DATE.fullmatch(text):
            try:
                return date.fromisoformat(text)
            except ValueError:
                pass  # there is no such day
        instant: DayOrInstant = self._instant.deserialize(text)
        return instant


def _reject_unknown_zone(name: str) -> None:
    if name not in known_zones():
        raise ValidationError("It is not the name of a time zone of the IANA database.")


UsageQuerySchema = Schema.from_dict(
    {
        "from": DayOrInstantField(
            attribute="start",
            metadata={
                "description": "A date in `tz` or an RFC 3339 instant: the first period"
                f" has it. Default: {DEFAULT_PERIODS} periods before `to`.",
                "example": "2026-11-01",
            },
        ),
        "to": DayOrInstantField(
            attribute="end",
            metadata={
                "description": "A date in `tz` or an RFC 3339 instant, exclusive."
                f" Default: now. At most {MAX_PERIODS} periods.",
                "example": "2026-12-01",
            },
        ),
        "by": fields.Enum(
            UsageBucket,
            by_value=True,
            metadata={"description": "hour, day (the default), week (ISO) or month."},
        ),
        "tz": QueryString(
            validate=[validate.Length(max=100), _reject_unknown_zone],
            metadata={
                "description": "IANA name of the periods' time zone. Default: UTC.",
                "example": "Europe/Berlin",
            },
        ),
        "split": fields.Enum(
            UsageSplit,
            by_value=True,
            metadata={"description": "model, role, or none, the default."},
        ),
    },
    name="UsageQuerySchema",
)


class CountsSchema(Schema):
    """Messages, their bytes and their tokens."""

    messages = fields.Integer(required=True, metadata={"example": 2})
    bytes = fields.Integer(
        required=True,
        metadata={"description": "Bytes of `content` in UTF-8.", "example": 480},
    )
    input_tokens = fields.Integer(required=True, metadata={"example": 11})
    output_tokens = fields.Integer(required=True, metadata={"example": 7})


class UsagePartSchema(CountsSchema):
    """The part of one model or role."""

    model = fields.String(metadata={"example": "gpt-4o-mini"})
    role = fields.String(validate=validate.OneOf(list(Role)))


class UsageTotalSchema(CountsSchema):
    """The usage of all periods, or of one."""

    sessions = fields.Integer(
        required=True,
        metadata={"description": "Sessions that were created then.", "example": 1},
    )
    split = fields.List(
        fields.Nested(UsagePartSchema),
        metadata={"description": "With `split`: the parts, by name."},
    )


class UsagePeriodSchema(UsageTotalSchema):
    """The usage of one period."""

    start = Instant(required=True)
    end = Instant(required=True)
    label = fields.String(
        required=True,
        metadata={
            "description": "Local name: 2026-11-22T20:00+01:00, 2026-11-22, 2026-W47 or"
            " 2026-11.",
            "example": "2026-11-22",
        },
    )


class UsageReportSchema(Schema):
    """The usage of a range of time, by period."""

    by = fields.String(required=True, validate=validate.OneOf(list(UsageBucket)))
    tz = fields.String(required=True, metadata={"example": "UTC"})
    complete = fields.Boolean(
        required=True,
        metadata={
            "description": "false: the newest messages are not counted yet. The server"
            " is counting them in the background."
        },
    )
    total = fields.Nested(UsageTotalSchema, required=True)
    periods = fields.List(fields.Nested(UsagePeriodSchema), required=True)
