"""The shapes of sessions in requests and answers."""

from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from chatstore.enums import BulkAction, Order, SessionSort
from chatstore.schemas.fields import (
    EXTERNAL_ID_LENGTH,
    BodyInteger,
    ChosenFieldsSchema,
    FieldNames,
    Flag,
    FreeJson,
    Id,
    Instant,
    QueryFlag,
    QueryInteger,
    Tags,
    Text,
    at_most,
    json_bytes,
    string_list,
    within,
)
from chatstore.schemas.filters import SessionBodyFilterSchema, SessionFilterSchema
from chatstore.schemas.messages import TurnSchema
from chatstore.strict_json import MAX_INTEGER

_DOCUMENTS: dict[str, Any] = {
    "max_items": "max_documents",
    "max_length": "max_document_id_length",
    "example": ["handbook-2026"],
}
_TAGS = {"example": ["support"]}
_NAME = {"example": "Choosing a pension plan"}
_MODEL = {"example": "gpt-4o-mini"}
_METADATA = {
    "description": "Your own JSON object. Reads return it unchanged.",
    "example": {"customer": "4711"},
}
_EXTERNAL_ID: dict[str, Any] = {
    "allow_none": True,
    "metadata": {
        "description": "Your own id of the session, unique among your sessions.",
        "example": "ticket/4711",
    },
}


class ForkedFromSchema(Schema):
    """The message up to which a session was copied from another session."""

    session_id = fields.UUID(required=True)
    seq = fields.Integer(required=True, metadata={"example": 12})


def _external_id() -> Text:
    length = validate.Length(min=1, max=EXTERNAL_ID_LENGTH)
    return Text(validate=length, **_EXTERNAL_ID)


class SessionSchema(Schema):
    """A session in an answer."""

    id = fields.UUID(required=True)
    name = fields.String(required=True, allow_none=True, metadata=_NAME)
    created_at = Instant(required=True)
    last_updated_at = Instant(
        required=True,
        metadata={"description": "Time of the last message, or of the creation."},
    )
    llm_model_name = fields.String(required=True, metadata=_MODEL)
    rag_document_ids = fields.List(fields.String(), required=True)
    metadata_tags = fields.List(fields.String(), required=True)
    message_count = fields.Integer(required=True, metadata={"example": 2})
    last_message_preview = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "First 200 characters of the last message."},
    )
    pinned = fields.Boolean(required=True)
    archived = fields.Boolean(required=True)
    archived_at = Instant(required=True, allow_none=True)
    expires_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "When the session is deleted for good, or null."},
    )
    metadata = FreeJson(attribute="metadata_", required=True, metadata=_METADATA)
    external_id = fields.String(required=True, **_EXTERNAL_ID)
    forked_from = fields.Nested(ForkedFromSchema, required=True, allow_none=True)
    head_seq = fields.Integer(
        attribute="shown_head_seq",
        required=True,
        allow_none=True,
        metadata={
            "description": "Seq of the last message of the branch that is shown.",
            "example": 2,
        },
    )
    input_tokens = fields.Integer(
        required=True,
        metadata={
            "description": "Sum of `usage.input_tokens` of the messages.",
            "example": 11,
        },
    )
    output_tokens = fields.Integer(
        required=True,
        metadata={
            "description": "Sum of `usage.output_tokens` of the messages.",
            "example": 7,
        },
    )


class ListedSessionSchema(SessionSchema):
    """A session in a list."""

    trashed_at = Instant(
        metadata={"description": "In the trash: when the session was deleted."}
    )


class ChosenSessionSchema(ChosenFieldsSchema, ListedSessionSchema):
    """A session in an answer, with the fields that the request names."""


class _PageSchema(Schema):
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The `cursor` of the next page; null on the last."},
    )
    previous_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The `cursor` of the previous page; null on the first."
        },
    )
    total = fields.Integer(
        metadata={"description": "With `count=true`: number of matches.", "example": 2}
    )


class SessionPageSchema(_PageSchema):
    """A page of the list of sessions."""

    sessions = fields.List(fields.Nested(ListedSessionSchema), required=True)


class ChosenSessionPageSchema(_PageSchema):
    """A page of sessions with the fields that the request names."""

    sessions = fields.List(fields.Nested(ChosenSessionSchema), required=True)


class SessionFieldsQuerySchema(Schema):
    """The query string of one session."""

    chosen = FieldNames(ListedSessionSchema().fields, "a session")


class SessionFieldsSchema(Schema):
    """The fields of a session that its creation and each change may set."""

    # Metadata that was created can be sent again to change it.
    uncounted_levels = 2

    name = Text(allow_none=True, validate=validate.Length(max=255), metadata=_NAME)
    llm_model_name = Text(validate=validate.Length(min=1, max=255), metadata=_MODEL)
    rag_document_ids = string_list(**_DOCUMENTS)
    metadata_tags = Tags(metadata=_TAGS)
    metadata = FreeJson(
        validate=within("max_session_metadata_bytes", json_bytes, "bytes of JSON"),
        metadata=_METADATA,
    )
    expires_at = Instant(
        allow_none=True,
        metadata={
            "description": "When to delete the session for good; later than now.",
            "example": "2999-12-31T00:00:00Z",
        },
    )


class SessionPutSchema(SessionFieldsSchema):
    """The body that creates a session unless its external id exists."""

    id = Id(
        metadata={
            "description": "The session's id, if you choose it yourself.",
            "example": "8a7c6a4e-4d9f-4b53-a1f8-1d2f3f0c9b11",
        }
    )
    # A message may nest as deep as one that is sent alone.
    messages = fields.List(
        fields.Nested(TurnSchema),
        validate=within("max_batch_size", len, "items"),
        metadata={"description": "The first messages, created with the session."},
    )


class SessionCreateSchema(SessionPutSchema):
    """The body that creates a session; every field is optional."""

    external_id = _external_id()


class SessionUpdateSchema(SessionFieldsSchema):
    """The body that changes a session; fields that it omits stay."""

    external_id = _external_id()
    pinned = Flag(metadata={"example": True})
    archived = Flag(metadata={"example": False})
    head_seq = BodyInteger(
        validate=validate.Range(min=1, max=MAX_INTEGER),
        metadata={
            "description": "Show the branch that ends with this message; 409 if there"
            " is none."
        },
    )


# Ids in a URL, which a session list looks up one by one.
MAX_IDS = 100


class SessionQuerySchema(SessionFilterSchema, SessionFieldsQuerySchema):
    """The query string of the list of sessions."""

    id = fields.List(
        Id(),
        validate=validate.Length(min=1, max=MAX_IDS),
        metadata={
            "description": "Only the session with this id. If repeated, only sessions"
            " with one of them. Ids of missing sessions are ignored."
        },
    )

    sort = fields.Enum(
        SessionSort,
        by_value=True,
        metadata={"description": "last_updated_at, the default, created_at or name."},
    )
    order = fields.Enum(
        Order,
        by_value=True,
        metadata={
            "description": "asc or desc. Default: asc for names, desc for instants."
        },
    )
    pinned_first = QueryFlag(
        metadata={"description": "true: pinned sessions come before the others."}
    )
    trash = QueryFlag(
        metadata={
            "description": "true: the sessions in the trash, the last deleted first. It"
            " combines with count, limit, offset and cursor only."
        }
    )
    count = QueryFlag(
        metadata={"description": "true: `total` is the number of matching sessions."}
    )
    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most sessions to return; 50 by default."},
    )
    offset = QueryInteger(
        validate=[validate.Range(min=0), at_most("max_offset")],
        metadata={"description": "Number of sessions to skip; not with `cursor`."},
    )
    cursor = fields.String(
        metadata={"description": "The `next_cursor` or `previous_cursor` of a page."}
    )

    @validates_schema
    def _refuse_offset_with_cursor(self, query: dict[str, Any], **kwargs: Any) -> None:
        if "offset" in query and "cursor" in query:
            raise ValidationError("Give offset or cursor, not both.", "offset")

    @validates_schema
    def _refuse_filters_of_the_trash(
        self, query: dict[str, Any], **kwargs: Any
    ) -> None:
        others = [name for name in query if name not in _OF_THE_TRASH]
        if query.get("trash") and others:
            raise ValidationError(
                "The list of the trash has no filters and one order.", others[0]
            )


_OF_THE_TRASH = ("trash", "count", "limit", "offset", "cursor")


class SessionDeleteQuerySchema(Schema):
    """The query string of the deletion of a session."""

    purge = QueryFlag(
        metadata={
            "description": "true: at once and for good, also from the trash."
            " Otherwise the session goes into the trash."
        }
    )


_TAG_ACTIONS = (BulkAction.ADD_TAGS, BulkAction.REMOVE_TAGS)
_SELECTIONS = ("ids", "filter", "all", "trash")
# The selections that each action of the trash takes; the others take all but the trash.
_SELECTIONS_OF = {
    BulkAction.RESTORE: ("ids", "trash"),
    BulkAction.PURGE: _SELECTIONS,
}


class SessionBulkSchema(Schema):
    """The body that changes many sessions, selected by ids, by a filter, or all."""

    json_schema: ClassVar[dict[str, Any]] = {
        "oneOf": [{"required": [name]} for name in _SELECTIONS],
        "if": {"properties": {"action": {"enum": [*_TAG_ACTIONS]}}},
        "then": {"required": ["tags"], "properties": {"tags": {"minItems": 1}}},
        "else": {"not": {"required": ["tags"]}},
        "allOf": [
            {
                "if": {"properties": {"action": {"const": BulkAction.RESTORE}}},
                "then": {
                    "anyOf": [{"required": ["ids"]}, {"required": ["trash"]}],
                },
            },
            {
                "if": {"required": ["trash"]},
                "then": {"properties": {"action": {"enum": [*_SELECTIONS_OF]}}},
            },
        ],
    }

    action = fields.Enum(BulkAction, by_value=True, required=True)
    ids = fields.List(Id(), validate=within("max_bulk_sessions", len, "items"))
    filter = fields.Nested(
        SessionBodyFilterSchema,
        metadata={"description": "The filters of the session list; at least one."},
    )
    all = Flag(
        validate=validate.Equal(True, error="It must be true. Otherwise leave it out."),
        metadata={"description": "true: selects every session that is not archived."},
    )
    trash = Flag(
        validate=validate.Equal(True, error="It must be true. Otherwise leave it out."),
        metadata={
            "description": "true: selects the whole trash; for restore and purge only."
        },
    )
    tags = Tags(
        metadata={
            "description": "Only for add_tags and remove_tags.",
            "example": ["later"],
        }
    )
    dry_run = Flag(
        load_default=False,
        metadata={"description": "true: count, and change nothing.", "example": True},
    )

    @validates_schema
    def _require_one_selection(self, body: dict[str, Any], **kwargs: Any) -> None:
        if sum(name in body for name in _SELECTIONS) != 1:
            raise ValidationError("Give exactly one of ids, filter, all and trash.")
        # A client that lost its filter must not change every session.
        if "filter" in body and not body["filter"]:
            raise ValidationError(
                "It is empty. To select every session that is not archived, send"
                ' "all": true instead.',
                "filter",
            )

    @validates_schema
    def _check_selection_fits_action(self, body: dict[str, Any], **kwargs: Any) -> None:
        if "action" not in body:
            return
        usual = ("ids", "filter", "all")
        fitting = _SELECTIONS_OF.get(body["action"], usual)
        for name in set(_SELECTIONS) - set(fitting):
            if name in body:
                raise ValidationError(
                    f"This action takes {' or '.join(fitting)}.", name
                )

    @validates_schema
    def _check_tags_fit_action(self, body: dict[str, Any], **kwargs: Any) -> None:
        if "action" not in body:
            return
        if body["action"] in _TAG_ACTIONS and not body.get("tags"):
            raise ValidationError("Give at least one tag.", "tags")
        if body["action"] not in _TAG_ACTIONS and "tags" in body:
            raise ValidationError("This action takes no tags.", "tags")


class SessionBulkAnswerSchema(Schema):
    """The result of a change to many sessions."""

    action = fields.String(required=True, validate=validate.OneOf(list(BulkAction)))
    matched = fields.Integer(
        required=True,
        metadata={"description": "Number of selected sessions.", "example": 3},
    )
    changed = fields.Integer(
        required=True,
        metadata={
            "description": "Number of sessions that the action changed.",
            "example": 2,
        },
    )
    changed_ids = fields.List(
        fields.UUID(),
        required=True,
        metadata={"description": "Ids of these sessions, for example to undo it."},
    )
    dry_run = fields.Boolean(required=True)
