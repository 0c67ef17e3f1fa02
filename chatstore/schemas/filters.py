"""The filters of sessions, in a query string or a body: one grammar everywhere."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate

from chatstore.enums import Archived
from chatstore.fulltext.folding import fold
from chatstore.schemas.fields import (
    EXTERNAL_ID_LENGTH,
    Flag,
    Instant,
    QueryFlag,
    QueryString,
    Tag,
    within,
)
from chatstore.settings import MAX_FACET_LENGTH

# A list looks up each pair for each session that it passes.
MAX_METADATA_PAIRS = 20


class ArchivedField(fields.Enum[Archived]):
    """One of the words true, false and any, in a query string."""

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
    # An empty list could mean every session or none, so we refuse it.
    not_empty = validate.Length(
        min=1, error="Give at least one tag, or leave this filter out."
    )
    return fields.List(
        Tag(),
        validate=[not_empty, within("max_tags", len, "items")],
        metadata={"description": description},
    )


class MetadataPair(QueryString):
    """A filter by session metadata: `key:value`, split at the first colon."""

    def __init__(self, **options: Any) -> None:
        length = validate.Length(max=MAX_FACET_LENGTH)
        super().__init__(validate=length, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        pair = super()._deserialize(value, *args, **kwargs)
        if ":" not in pair:
            raise ValidationError("Write it as key:value.")
        return pair


def _instant(description: str) -> Instant:
    example = "2026-11-22T20:28:06Z"
    return Instant(metadata={"description": description, "example": example})


class SessionFilterSchema(Schema):
    """Filters that select sessions; a session must match all that are given."""

    tag = _tags(
        "Only sessions with this tag. If repeated, only sessions with all of them."
    )
    tag_any = _tags("Only sessions with at least one of these tags.")
    document = QueryString(
        validate=within("max_document_id_length", len, "characters"),
        metadata={"description": "Only sessions with this id in `rag_document_ids`."},
    )
    metadata = fields.List(
        MetadataPair(),
        validate=validate.Length(min=1, max=MAX_METADATA_PAIRS),
        metadata={
            "description": "Only sessions with this key:value in their `metadata`. If"
            " repeated, only sessions with all of them.",
        },
    )
    external_id = QueryString(
        validate=validate.Length(min=1, max=EXTERNAL_ID_LENGTH),
        metadata={"description": "Only the session with this `external_id`."},
    )
    model = QueryString(
        validate=validate.Length(max=255),
        metadata={"description": "Only sessions with this `llm_model_name`."},
    )
    pinned: Flag = QueryFlag(
        metadata={"description": "true: only pinned sessions; false: only others."}
    )
    archived = ArchivedField(
        metadata={"description": "true, any, or false, the default."},
    )
    name = QueryString(
        validate=validate.Length(max=255),
        metadata={
            "description": "Only names with this text, ignoring case and accents."
        },
    )
    created_after = _instant("Only sessions created later.")
    created_before = _instant("Only sessions created earlier.")
    updated_after = _instant("Only sessions with a later `last_updated_at`.")
    updated_before = _instant("Only sessions with an earlier `last_updated_at`.")


class NamePart(QueryString):
    """A part of a name, which must not fold to the empty string."""

    # The characters that fold to nothing.
    ignored_characters = (
        r"\u00ad\u0300-\u0344\u0346-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5"
        r"\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
        r"\u06e7\u06e8\u06ea-\u06ed\u2060\ufcf2-\ufcf4\ufe71\ufe77\ufe79\ufe7b\ufe7d"
        r"\ufe7f\ufeff"
    )

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        # Every name contains the empty string, so a change would reach every session.
        name = super()._deserialize(value, *args, **kwargs)
        if name and not fold(name):
            raise ValidationError("It has no character to search for. Leave it out.")
        return name


class SessionBodyFilterSchema(SessionFilterSchema):
    """The filters in a JSON body, where flags are JSON booleans."""

    json_schema: ClassVar[dict[str, Any]] = {"minProperties": 1}

    pinned = Flag(
        metadata={"description": "true: only pinned sessions; false: only others."}
    )
    archived = BodyArchivedField(
        metadata={"description": 'true, "any", or false, the default.'},
    )
    name = NamePart(
        validate=validate.Length(min=1, max=255),
        metadata={
            "description": "Only names with this text, ignoring case and accents."
        },
    )
