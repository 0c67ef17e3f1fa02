"""Field types and limits that several shapes share."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import orjson
from marshmallow import Schema, ValidationError, fields, validate
from marshmallow.experimental.context import Context

from chatstore.clock import format_instant
from chatstore.fulltext.folding import fold_case
from chatstore.settings import PREFIX, Settings
from chatstore.strict_json import text_flaw

EXTERNAL_ID_LENGTH = 255

# The pattern of text that can be stored, for JSON Schema.
NO_NUL = r"^[^\x00]*$"
# Limits are settings, which are known when a request comes in, not at import.
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
    """Return the RFC 3339 date and time in `text` as a UTC datetime.

    Decimals past the sixth are cut off. A leap second, :60, becomes the first instant
    of the next minute. Raises ValueError for any other text.
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
    # fromisoformat accepts hour 24, which RFC 3339 does not allow.
    if parts["minute"].startswith("24"):
        raise ValueError
    return local.astimezone(UTC) + timedelta(seconds=is_leap)


class Instant(fields.AwareDateTime):
    """An aware UTC instant, sent as RFC 3339 with six decimals and a Z."""

    default_error_messages = {
        "invalid": f"It is not an RFC 3339 date {_FORM}.",
        "plus": "The zone has a space instead of a plus sign. Write + as %2B in a URL.",
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
        except (ValueError, OverflowError):  # in UTC, the year may be 0 or 10000
            has_lost_plus = _LOST_PLUS.fullmatch(value) and "T" in value.upper()
            raise self.make_error("plus" if has_lost_plus else "invalid") from None


class Id(fields.UUID):
    """A UUID in the form of paths: 8-4-4-4-12 hexadecimal digits, nothing else."""

    _FORM = re.compile("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

    def _validated(self, value: Any) -> UUID:
        if not isinstance(value, str) or not self._FORM.fullmatch(value):
            raise self.make_error("invalid_uuid")
        return UUID(value)


class BodyInteger(fields.Integer):
    """An integer in a body, not a string or boolean; 1.0 is 1, as in JSON Schema."""

    def _validated(self, value: Any) -> int:
        is_whole = type(value) is float and value.is_integer()
        if type(value) is not int and not is_whole:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class Text(fields.String):
    """Text in a body, from which `strict_json` has excluded NUL."""


class FreeJson(fields.Dict):
    """A JSON object with any keys and values."""

    def __init__(self, **options: Any) -> None:
        super().__init__(keys=fields.String(), **options)


class Flag(fields.Boolean):
    """A JSON boolean; no other value counts as true or false."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class QueryFlag(Flag):
    """A boolean in a query string: the word true or false."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        words = {"true": True, "false": False}
        known = words.get(value, value) if isinstance(value, str) else value
        return super()._deserialize(known, *args, **kwargs)


class QueryString(fields.String):
    """Text in a query string, without NUL and lone surrogates."""

    # Inside of a character class in JSON Schema. Text of these only counts as empty.
    ignored_characters: ClassVar[str] = ""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        flaw = text_flaw(text)
        if flaw:
            raise ValidationError(flaw)
        return text


class Tag(QueryString):
    """A tag: text without white space around it."""

    # The characters that str.strip() removes. \s differs between languages.
    ignored_characters = (
        r"\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029"
        r"\u202f\u205f\u3000"
    )

    def __init__(self, **options: Any) -> None:
        not_empty = validate.Length(
            min=1, error="It must have a character that is not white space."
        )
        limit = within("max_tag_length", len, "characters")
        super().__init__(validate=[not_empty, limit], **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, *args, **kwargs).strip()


class Tags(fields.List[Any]):
    """A list of tags; of equal ones, whatever their case and form, the first stays."""

    def __init__(self, **options: Any) -> None:
        limit = within("max_tags", len, "items")
        super().__init__(Tag(), validate=limit, **options)

    def deserialize(self, *args: Any, **kwargs: Any) -> Any:
        tags = super().deserialize(*args, **kwargs)  # max_tags bounds duplicates too
        if not isinstance(tags, list):
            return tags
        first: dict[str, str] = {}
        for tag in tags:
            first.setdefault(fold_case(tag), tag)
        return list(first.values())


class FieldNames(fields.String):
    """Names of fields, separated by commas; loaded as a tuple in the order of `names`.

    Equal sets of fields load as equal tuples, so they share a prepared statement.
    """

    def __init__(self, names: Iterable[str], what: str) -> None:
        self._names = tuple(names)
        name = f"({'|'.join(self._names)})"
        super().__init__(
            data_key="fields",
            attribute="fields",
            metadata={
                "description": f"Names of fields of {what}, separated by commas. The"
                " answer leaves the others out.",
                "pattern": f"^{name}(,{name})*$",
            },
        )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        wanted = set(text.split(","))
        if not wanted <= set(self._names):
            names = ", ".join(self._names)
            raise ValidationError(f"Write some of these, separated by commas: {names}.")
        return tuple(name for name in self._names if name in wanted)


class ChosenFieldsSchema(Schema):
    """An answer that has only the fields that the request names."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Make each field optional in the document."""
        field_obj.required = False


class QueryInteger(fields.Integer):
    """An integer in a query string: ASCII digits and an optional minus."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,16}", value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


@dataclass(frozen=True)
class SettingLimit:
    """A validator bounded by a setting; `find_error` returns the error text or None."""

    setting: str
    find_error: Callable[[Any, int], str | None]

    def __call__(self, value: Any) -> None:
        error = self.find_error(value, getattr(Limits.get(), self.setting))
        if error:
            raise ValidationError(error)


def within(setting: str, size: Callable[[Any], int], what: str) -> SettingLimit:
    """Return a validator: `size(value)` is at most the setting's value.

    `what` completes the error text "It has 9 …".
    """

    def find_error(value: Any, limit: int) -> str | None:
        if size(value) <= limit:
            return None
        name = f"{PREFIX}{setting.upper()}"
        return f"It has {size(value)} {what}, more than {limit} ({name})."

    return SettingLimit(setting, find_error)


def at_most(setting: str) -> SettingLimit:
    """Return a validator: a number is at most the setting's value."""

    def find_error(value: int, limit: int) -> str | None:
        if value <= limit:
            return None
        return f"It must be at most {limit} ({PREFIX}{setting.upper()})."

    return SettingLimit(setting, find_error)


def utf8_bytes(text: str) -> int:
    """Return the length of `text` in bytes of UTF-8."""
    return len(text.encode())


def json_bytes(value: Mapping[str, Any]) -> int:
    """Return the length of `value` in bytes of compact JSON."""
    return len(orjson.dumps(value))


def string_list(
    *, max_items: str, max_length: str, example: list[str], **options: Any
) -> Any:
    """Return a field for a list of strings; settings bound it and each string."""
    return fields.List(
        Text(validate=within(max_length, len, "characters")),
        validate=within(max_items, len, "items"),
        metadata={"example": example},
        **options,
    )
