"""The filters of sessions, in a query string or a body: one grammar everywhere."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate

from chatstore.enums import Archived
from chatstore.fulltext.words import fold
from chatstore.schemas.fields import (
    Flag,
    Instant,
    QueryFlag,
    QueryString,
    Tag,
    within,
)


class ArchivedField(fields.Enum[Archived]):
    """The words true, false and any, as a query string has them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Archived, by_value=True, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Archived:
        if not isinstance(value, str):
            raise self.make_error("unknown", choices=self.choices_text)
        return super()._deserialize(value, *args, **kwargs)


class BodyArchivedField(ArchivedField):
    """The JSON values true and false, or the word any."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Archived:
        if isinstance(value, bool):
            return Archived.YES if value else Archived.NO
        if value != Archived.ANY.value:
            raise ValidationError('It must be true, false or "any".')
        return Archived.ANY


def _tags(description: str) -> Any:
    # Of no tags at all, a body could mean every session, or none.
    some = validate.Length(min=1, error="Name one, or leave it out.")
    return fields.List(
        Tag(),
        validate=[some, within("max_tags", len, "items")],
        metadata={"description": description},
    )


def _instant(description: str) -> Instant:
    example = "2026-11-22T20:28:06Z"
    return Instant(metadata={"description": description, "example": example})


class SessionFilterSchema(Schema):
    """Which sessions are meant; whatever is given must hold."""

    tag = _tags("Only with this tag; given more than once: with all of them.")
    tag_any = _tags("Only with one of these tags at least.")
    document = QueryString(
        validate=within("max_document_id_length", len, "characters"),
        metadata={"description": "Only with this among its rag_document_ids."},
    )
    model = QueryString(
        validate=validate.Length(max=255),
        metadata={"description": "Only with this llm_model_name."},
    )
    pinned: Flag = QueryFlag(
        metadata={"description": "Only pinned ones, or only others."}
    )
    archived = ArchivedField(
        metadata={"description": "false, the default, true or any."},
    )
    name = QueryString(
        validate=validate.Length(max=255),
        metadata={
            "description": "Only with this in the name, whatever the case and accents."
        },
    )
    created_after = _instant("Only those created later.")
    created_before = _instant("Only those created earlier.")
    updated_after = _instant("Only those whose last_updated_at is later.")
    updated_before = _instant("Only those whose last_updated_at is earlier.")


def _some_letter(name: str) -> None:
    # Every name has nothing in it, so that a change would be made to every session.
    if not fold(name):
        raise ValidationError("It has nothing to look for: leave it out.")


class SessionBodyFilterSchema(SessionFilterSchema):
    """The filters in a JSON body, where true and false are no words."""

    json_schema: ClassVar[dict[str, Any]] = {"minProperties": 1}

    pinned = Flag(metadata={"description": "Only pinned ones, or only others."})
    archived = BodyArchivedField(
        metadata={"description": 'false, the default, true or "any".'},
    )
    name = QueryString(
        validate=[validate.Length(min=1, max=255), _some_letter],
        metadata={
            "description": "Only with this in the name, whatever the case and accents."
        },
    )
