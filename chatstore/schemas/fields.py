"""Field types and limits that several shapes share."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from marshmallow import ValidationError, fields
from marshmallow.experimental.context import Context

from chatstore.clock import format_instant
from chatstore.settings import PREFIX, Settings

# Which limits hold is known when a request comes in, not when a schema is written.
Limits = Context[Settings]


class Instant(fields.AwareDateTime):
    """An aware UTC instant, sent as RFC 3339 with six decimals and a Z."""

    def _serialize(
        self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any
    ) -> str | None:
        return None if value is None else format_instant(value)


class QueryInteger(fields.Integer):
    """A whole number in a query string: ASCII digits, perhaps a minus, no more."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,16}", value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


@dataclass(frozen=True)
class SettingLimit:
    """A validator whose bound is what a setting says; `complain` words the refusal."""

    setting: str
    complain: Callable[[Any, int], str | None]

    def __call__(self, value: Any) -> None:
        complaint = self.complain(value, getattr(Limits.get(), self.setting))
        if complaint:
            raise ValidationError(complaint)


def within(setting: str, size: Callable[[Any], int], what: str) -> SettingLimit:
    """Return a validator: the size of the value is at most what the setting says.

    `what` is the rest of the sentence "It has 9 …".
    """

    def complain(value: Any, most: int) -> str | None:
        if size(value) <= most:
            return None
        return (
            f"It has {size(value)} {what}: at most {most} ({PREFIX}{setting.upper()})."
        )

    return SettingLimit(setting, complain)


def at_most(setting: str) -> SettingLimit:
    """Return a validator: the number is at most what the setting says."""

    def complain(value: int, most: int) -> str | None:
        if value <= most:
            return None
        return f"It must be at most {most} ({PREFIX}{setting.upper()})."

    return SettingLimit(setting, complain)


def utf8_bytes(text: str) -> int:
    """Return the length of `text` in bytes of UTF-8."""
    return len(text.encode())


def json_bytes(value: Mapping[str, Any]) -> int:
    """Return the length of `value` in bytes of compact JSON."""
    return len(orjson.dumps(value))


def strings(*, most: str, longest: str, example: list[str], **options: Any) -> Any:
    """Return a field for a list of strings, its bounds named by settings."""
    return fields.List(
        fields.String(validate=within(longest, len, "characters")),
        validate=within(most, len, "items"),
        metadata={"example": example},
        **options,
    )
