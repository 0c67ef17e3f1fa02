"""Field types and limits that several shapes share."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import orjson
from marshmallow import ValidationError, fields, validate
from marshmallow.experimental.context import Context

from chatstore.clock import format_instant
from chatstore.settings import PREFIX, Settings
from chatstore.strict_json import text_flaw

# Which limits hold is known when a request comes in, not when a schema is written.
Limits = Context[Settings]


# The grammar of RFC 3339, section 5.6. The ranges of the numbers are checked later.
_DATE_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"[Tt](?P<minute>[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})(?P<fraction>\.[0-9]+)?"
    r"(?P<zone>[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_LOST_PLUS = re.compile(r".*[0-9] [0-9]{2}:?[0-9]{2}")
_FORM = "with a time and a zone, such as 2026-11-28T10:00:00Z"


def parse_instant(text: str) -> datetime:
    """Return the instant that `text` stands for in RFC 3339, in UTC.

    Decimals past the sixth are cut off. A leap second, :60, is the first instant of
    the next minute. Raises ValueError for any other text.
    """
    parts = _DATE_TIME.fullmatch(text)
    if parts is None:
        raise ValueError
    # datetime does not know second 60, so we add the second after parsing.
    is_leap = parts["second"] == "60"
    second = "59" if is_leap else parts["second"]
    fraction = "" if is_leap else (parts["fraction"] or "")[:7]
    zone = parts["zone"].upper()
    local = datetime.fromisoformat(
        f"{parts['date']}T{parts['minute']}:{second}{fraction}{zone}"
    )
    # fromisoformat takes hour 24, which RFC 3339 does not know.
    if parts["minute"].startswith("24"):
        raise ValueError
    return local.astimezone(UTC) + timedelta(seconds=is_leap)


class Instant(fields.AwareDateTime):
    """An aware UTC instant, sent as RFC 3339 with six decimals and a Z."""

    default_error_messages = {
        "invalid": f"It is not an RFC 3339 date {_FORM}.",
        "plus": "There is a space where a + belongs: in a URL, write %2B.",
    }

    def _serialize(
        self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any
    ) -> str | None:
        return None if value is None else format_instant(value)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            return parse_instant(value)
        except (ValueError, OverflowError):  # a zone can lead out of years 1 to 9999
            has_lost_plus = _LOST_PLUS.fullmatch(value) and "T" in value.upper()
            raise self.make_error("plus" if has_lost_plus else "invalid") from None


class Id(fields.UUID):
    """A UUID as a path takes it: 8-4-4-4-12 hexadecimal digits, nothing around."""

    _FORM = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

    def _validated(self, value: Any) -> UUID:
        if not isinstance(value, str) or not self._FORM.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)


class BodyInteger(fields.Integer):
    """A whole number in a body, no text, no boolean; 1.0 is 1, as in JSON Schema."""

    def _validated(self, value: Any) -> int:
        is_whole = type(value) is float and value.is_integer()
        if type(value) is not int and not is_whole:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Text(fields.String):
    """Text in a body, in which `strict_json` has found no NUL."""


class FreeJson(fields.Dict):
    """A JSON object of the client's own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(keys=fields.String(), **options)


class Flag(fields.Boolean):
    """True or false, and nothing that Python takes for it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class QueryFlag(Flag):
    """The words true and false, as a query string has them."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        words = {"true": True, "false": False}
        known = words.get(value, value) if isinstance(value, str) else value
        return super()._deserialize(known, *args, **kwargs)


class QueryString(fields.String):
    """Text in a query string that a database can be asked for."""

    # Characters that are nothing by themselves, as a pattern of JSON Schema has them.
    ignored: ClassVar[str] = ""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        flaw = text_flaw(text)
        if flaw:
            raise ValidationError(flaw)
        return text


class Tag(QueryString):
    """A tag: text without white space around it."""

    # What str.strip() removes. The class \s is not the same in each language.
    ignored = (
        r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029"
        r"\u202f\u205f\u3000"
    )

    def __init__(self, **options: Any) -> None:
        some = validate.Length(min=1, error="It is empty, or nothing but white space.")
        limit = within("max_tag_length", len, "characters")
        super().__init__(validate=[some, limit], **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, *args, **kwargs).strip()


class Tags(fields.List[Any]):
    """A list of tags, each of them once."""

    def __init__(self, **options: Any) -> None:
        limit = within("max_tags", len, "items")
        super().__init__(Tag(), validate=limit, **options)

    def deserialize(self, *args: Any, **kwargs: Any) -> Any:
        tags = super().deserialize(*args, **kwargs)  # how many are sent is bounded
        return list(dict.fromkeys(tags)) if isinstance(tags, list) else tags


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
        Text(validate=within(longest, len, "characters")),
        validate=within(most, len, "items"),
        metadata={"example": example},
        **options,
    )
