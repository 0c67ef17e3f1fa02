"""The shapes of messages in requests and answers."""

from collections.abc import Mapping
from datetime import datetime
from itertools import combinations
from typing import Any, ClassVar

from marshmallow import (
    Schema,
    ValidationError,
    fields,
    post_load,
    validate,
    validates_schema,
)

from chatstore.clock import format_instant, utc_now
from chatstore.enums import MessageFormat, Order, Role
from chatstore.interchange.chat_completions import EXTRA_FIELDS, text_of
from chatstore.schemas.branches import PathHead
from chatstore.schemas.fields import (
    NO_NUL,
    BodyInteger,
    ChosenFieldsSchema,
    FieldNames,
    FreeJson,
    Instant,
    QueryFlag,
    QueryInteger,
    Text,
    at_most,
    json_bytes,
    utf8_bytes,
    within,
)
from chatstore.strict_json import MAX_INTEGER

_CONTENT = {"example": "How can I find the best plan for my needs?"}
_METADATA = {
    "description": "Your own JSON object. Reads return it unchanged.",
    "example": {"tokens": 11},
}


# Models and servers assign these ids and names, so we bound only the length.
_NAME = validate.Length(min=1, max=255)


def _reject_future(instant: datetime) -> None:
    if instant > utc_now():
        raise ValidationError("It must be in the past.")


class ContentPart(FreeJson):
    """A part of a message's content: an object with a `type`, of any kind."""

    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {
                "required": ["type", "text"],
                "properties": {
                    "type": {"const": "text"},
                    "text": {"type": "string", "pattern": NO_NUL},
                },
            },
            {
                "required": ["type"],
                "properties": {
                    "type": {
                        "type": "string",
                        "minLength": 1,
                        "pattern": NO_NUL,
                        "not": {"const": "text"},
                    }
                },
            },
        ]
    }

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        part: dict[str, Any] = super()._deserialize(  # type: ignore[no-untyped-call]
            value, *args, **kwargs
        )
        if not isinstance(part.get("type"), str) or not part["type"]:
            raise ValidationError('A part needs a "type", such as "text".')
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise ValidationError('A part of type "text" needs a "text".')
        return part


class Content(fields.Field[Any]):
    """The content of a message: text, a list of parts, or null."""

    default_error_messages = {"invalid": "It is neither text nor a list of parts."}
    _parts = fields.List(ContentPart())

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            return value
        # Clients of the first release look for the error of other lists here.
        if isinstance(value, list) and (
            not value or any(isinstance(each, dict) for each in value)
        ):
            return self._parts.deserialize(value)
        raise self.make_error("invalid")


class UsageSchema(Schema):
    """The tokens that a model counted for a message."""

    input_tokens = BodyInteger(validate=validate.Range(min=0, max=MAX_INTEGER))
    output_tokens = BodyInteger(validate=validate.Range(min=0, max=MAX_INTEGER))
    cached_tokens = BodyInteger(validate=validate.Range(min=0, max=MAX_INTEGER))
    reasoning_tokens = BodyInteger(validate=validate.Range(min=0, max=MAX_INTEGER))

    @post_load(pass_original=True)
    def _keep_order(
        self, usage: dict[str, int], given: Mapping[str, Any], **kwargs: Any
    ) -> dict[str, int]:
        return {name: usage[name] for name in given}


class ExtraSchema(Schema):
    """The fields that a message has only if they were given; null is not given."""

    tool_calls = fields.List(
        FreeJson(),
        allow_none=True,
        metadata={
            "description": "The calls that the model asks for, as it sent them.",
            "example": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_plan", "arguments": '{"need": "travel"}'},
                }
            ],
        },
    )
    tool_call_id = Text(
        allow_none=True,
        validate=_NAME,
        metadata={
            "description": "The call that this message answers.",
            "example": "call_1",
        },
    )
    name = Text(
        allow_none=True,
        validate=_NAME,
        metadata={
            "description": "The author's name, which tells authors of one role apart.",
            "example": "ada",
        },
    )
    model = Text(
        allow_none=True,
        validate=_NAME,
        metadata={
            "description": "The model that wrote the message.",
            "example": "gpt-4o-mini",
        },
    )
    refusal = Text(allow_none=True, metadata={"example": "I cannot help with that."})
    annotations = fields.List(FreeJson(), allow_none=True)
    audio = FreeJson(allow_none=True)
    function_call = FreeJson(allow_none=True)
    usage = fields.Nested(UsageSchema, allow_none=True)
    finish_reason = Text(allow_none=True, validate=_NAME, metadata={"example": "stop"})
    created_at = Instant(
        allow_none=True,
        validate=_reject_future,
        metadata={
            "description": "When the message was written, for imported history.",
            "example": "2026-01-31T09:00:00.000000Z",
        },
    )


class PlainMessageSchema(Schema):
    """The fields that every message has in an answer."""

    id = fields.Integer(required=True, metadata={"example": 17})
    session_id = fields.UUID(required=True)
    seq = fields.Integer(
        required=True,
        metadata={
            "description": "Number of the message in its session: 1, 2, 3 …",
            "example": 1,
        },
    )
    timestamp = Instant(required=True)
    role = fields.String(required=True, validate=validate.OneOf(list(Role)))
    content = fields.String(required=True, metadata=_CONTENT)
    metadata = FreeJson(
        attribute="metadata_",
        required=True,
        allow_none=True,
        metadata=_METADATA,
    )


class MessageStateSchema(Schema):
    """The fields that a message has in an answer only if they are not null."""

    parent_seq = fields.Integer(
        metadata={
            "description": "Seq of the message that this one follows, 0 if none."
            " Absent if it is the message before.",
            "example": 1,
        }
    )
    revision = fields.Integer(
        metadata={
            "description": "Number of changes plus 1. Absent if 1.",
            "example": 2,
        }
    )
    edited_at = Instant()
    deleted_at = Instant()
    feedback = FreeJson()


class MessageSchema(PlainMessageSchema, MessageStateSchema, ExtraSchema):
    """A message in an answer."""

    siblings = fields.List(
        fields.Integer(),
        metadata={
            "description": "With `siblings=true`, if the message has siblings: the seqs"
            " of all messages with the same parent, this one included, ascending. A"
            " longer list is cut to the 50 before this message and the 50 after it."
        },
    )

    matches = fields.List(
        fields.List(fields.Integer(), validate=validate.Length(equal=2)),
        metadata={
            "description": "With `q`: the matches in `content` as [from, to] with an"
            " exclusive end, in Unicode code points; at most 1,000.",
            "example": [[24, 28]],
        },
    )

    parts = fields.List(
        FreeJson(),
        allow_none=True,
        metadata={
            "description": "The content as it came, if it was a list of parts or null."
        },
    )


class MessageListSchema(Schema):
    """A list of messages, in the order asked for."""

    messages = fields.List(fields.Nested(MessageSchema), required=True)
    has_more = fields.Boolean(
        required=True,
        metadata={"description": "Whether `limit` cut the list."},
    )


class ChosenMessageSchema(ChosenFieldsSchema, MessageSchema):
    """A message in an answer, with the fields that the request names."""

    preview = fields.String(
        metadata={"description": "First 200 characters of the content."}
    )


class ChosenMessageListSchema(Schema):
    """A list of messages with the fields that the request names."""

    messages = fields.List(fields.Nested(ChosenMessageSchema), required=True)
    has_more = fields.Boolean(
        required=True,
        metadata={"description": "Whether `limit` cut the list."},
    )


class RequestMessageSchema(Schema):
    """A message as a request to a chat completions endpoint takes it."""

    role = fields.String(required=True, validate=validate.OneOf(list(Role)))
    content = Content(required=True, allow_none=True, metadata=_CONTENT)
    tool_calls = fields.List(FreeJson())
    tool_call_id = fields.String(metadata={"example": "call_1"})
    name = fields.String(metadata={"example": "ada"})
    refusal = fields.String(metadata={"example": "I cannot help with that."})
    function_call = FreeJson()
    audio = FreeJson()


class RequestMessageListSchema(Schema):
    """A list of messages for a request to a chat completions endpoint."""

    messages = fields.List(fields.Nested(RequestMessageSchema), required=True)
    has_more = fields.Boolean(
        required=True,
        metadata={"description": "Whether `limit` cut the list."},
    )


_EXPECTED_SEQ: dict[str, Any] = {
    "validate": validate.Range(min=1, max=MAX_INTEGER),
    "metadata": {
        "description": "Seq that the (first) message must get; 409 otherwise.",
        "example": 1,
    },
}
_EXPECTED_HEAD: dict[str, Any] = {
    "validate": validate.Range(min=0, max=MAX_INTEGER),
    "metadata": {
        "description": "The session's current head_seq, 0 for an empty session. 409 if"
        " another message is the head.",
        "example": 0,
    },
}
_PARENT_SEQ: dict[str, Any] = {
    "validate": validate.Range(min=0, max=MAX_INTEGER),
    "metadata": {
        "description": "Seq of the message that the (first) message follows, 0 to begin"
        " the conversation again. By default it is the session's head.",
        "example": 0,
    },
}


def text_bytes(content: Any) -> int:
    """Return the length of the content's text in bytes of UTF-8."""
    return utf8_bytes(text_of(content))


class TurnSchema(ExtraSchema):
    """The fields of a message that a client sends."""

    json_schema: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {
                "required": ["content"],
                "properties": {
                    "content": {
                        "type": ["string", "array"],
                        "minLength": 1,
                        "minItems": 1,
                    }
                },
            },
            {
                "required": ["content", "metadata"],
                "properties": {
                    "content": {"type": ["string", "array"]},
                    "metadata": {"type": "object", "minProperties": 1},
                },
            },
            {
                "required": ["tool_calls"],
                "properties": {"tool_calls": {"type": "array", "minItems": 1}},
            },
            {"required": ["role"], "properties": {"role": {"const": "assistant"}}},
        ]
    }

    content = Content(
        allow_none=True,
        validate=within("max_content_bytes", text_bytes, "bytes of UTF-8"),
        metadata=_CONTENT,
    )
    role = fields.Enum(Role, by_value=True, load_default=Role.USER)
    metadata = FreeJson(
        allow_none=True,
        load_default=None,
        validate=within("max_metadata_bytes", json_bytes, "bytes of JSON"),
        metadata=_METADATA,
    )

    @validates_schema
    def _require_something(self, message: dict[str, Any], **kwargs: Any) -> None:
        content = message.get("content")
        if content or message.get("tool_calls") or message["role"] is Role.ASSISTANT:
            return
        if "content" not in message:
            raise ValidationError("Missing data for required field.", "content")
        if content is None:
            raise ValidationError("Field may not be null.", "content")
        if not message["metadata"]:
            raise ValidationError(
                "It may be empty only if the message has metadata or tool calls, or is"
                " an assistant's.",
                "content",
            )

    @post_load
    def _gather_extra(self, message: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return `message` with its `EXTRA_FIELDS` in `extra`; null is absent."""
        given = {name: message.pop(name) for name in EXTRA_FIELDS if name in message}
        message.setdefault("content", None)
        extra = {name: value for name, value in given.items() if value is not None}
        if "created_at" in extra:
            extra["created_at"] = format_instant(extra["created_at"])
        if not isinstance(message["content"], str):
            extra = {"parts": message["content"], **extra}
        if extra:
            check_extra(extra)
        return message | {"extra": extra or None}


_check_size = within("max_message_bytes", json_bytes, "bytes of JSON")


def check_extra(extra: Mapping[str, Any]) -> None:
    """Raise ValidationError, for the largest field, if the fields are too large."""
    try:
        _check_size(extra)
    except ValidationError as error:
        place = max(extra, key=lambda name: json_bytes({name: extra[name]}))
        name = "content" if place == "parts" else place
        raise ValidationError({name: error.messages}) from None


class MessageCreateSchema(TurnSchema):
    """The body that appends a message."""

    expected_seq = BodyInteger(**_EXPECTED_SEQ)
    expected_head = BodyInteger(**_EXPECTED_HEAD)
    parent_seq = BodyInteger(**_PARENT_SEQ)


class MessageBatchSchema(Schema):
    """The body that appends several messages, all or none."""

    # A message may nest as deep as one that is sent alone, so the body and its list do
    # not count.
    uncounted_levels = 2

    messages = fields.List(
        fields.Nested(TurnSchema),
        required=True,
        validate=[validate.Length(min=1), within("max_batch_size", len, "items")],
    )
    expected_seq = BodyInteger(**_EXPECTED_SEQ)
    expected_head = BodyInteger(**_EXPECTED_HEAD)
    parent_seq = BodyInteger(**_PARENT_SEQ)


class MessageBatchAnswerSchema(Schema):
    """The messages of a batch, as they were stored."""

    messages = fields.List(fields.Nested(MessageSchema), required=True)


# The fields that a reader may choose. `siblings` has a parameter of its own.
_CHOSEN_FIELDS = [
    *PlainMessageSchema().fields,
    "preview",
    *MessageStateSchema().fields,
    *EXTRA_FIELDS,
]


class MessageFieldsQuerySchema(Schema):
    """The query string of one message."""

    chosen = FieldNames(_CHOSEN_FIELDS, "a message, or `preview`")


class MessageQuerySchema(MessageFieldsQuerySchema):
    """The query string of a list of messages."""

    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Maximum number of messages; no limit by default."},
    )
    after = QueryInteger(
        validate=validate.Range(min=0, max=MAX_INTEGER),
        metadata={"description": "Only messages with a greater seq."},
    )
    before = QueryInteger(
        validate=validate.Range(min=0, max=MAX_INTEGER),
        metadata={"description": "Only messages with a smaller seq."},
    )
    order = fields.Enum(
        Order,
        by_value=True,
        metadata={"description": "asc, the default: oldest first; desc: newest first."},
    )
    since = Instant(
        metadata={"description": "Only messages with this `timestamp` or a later one."}
    )
    until = Instant(
        metadata={"description": "Only messages with an earlier `timestamp`."}
    )
    role = fields.Enum(Role, by_value=True)
    format = fields.Enum(
        MessageFormat,
        by_value=True,
        metadata={
            "description": "openai: messages that a request to a chat completions"
            " endpoint takes as they are, without those that were deleted."
        },
    )
    path = PathHead(
        metadata={
            "description": "Only messages on one branch: `head` for the session's, or"
            " the seq of the branch's last message."
        }
    )
    around = QueryInteger(
        validate=validate.Range(min=1, max=MAX_INTEGER),
        metadata={
            "description": "A window of `limit` messages with this seq in the middle;"
            " not with after, before, since, until or role."
        },
    )
    siblings = QueryFlag(
        metadata={
            "description": "true: messages with siblings say which, see `siblings`."
        }
    )
    q = fields.String(
        validate=within("max_query_length", len, "characters"),
        metadata={
            "description": "A query as in the search. Messages tell where they match,"
            " see `matches`; not with format.",
            "example": "pension plan",
        },
    )

    @validates_schema
    def _check_window(self, query: dict[str, Any], **kwargs: Any) -> None:
        for name in ("after", "before", "since", "until", "role"):
            if "around" in query and name in query:
                raise ValidationError(f"Give around or {name}, not both.", name)

    @validates_schema
    def _check_form(self, query: dict[str, Any], **kwargs: Any) -> None:
        for one, other in combinations(("format", "fields", "q"), 2):
            if one in query and other in query:
                raise ValidationError(f"Give {one} or {other}, not both.", other)
