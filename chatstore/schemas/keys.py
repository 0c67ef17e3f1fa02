"""The shapes of API keys."""

from datetime import datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from chatstore.access.owners import MAX_OWNER_LENGTH, owner_flaw
from chatstore.access.secret_tokens import (
    API_KEY_PREFIX,
    ID_LENGTH,
    MAX_NAME_LENGTH,
)
from chatstore.clock import utc_now
from chatstore.enums import Scope
from chatstore.schemas.fields import (
    Instant,
    QueryInteger,
    QueryString,
    Text,
    at_most,
)

_ID = {"example": "7Hq2mZ0aXc4B"}
_OWNER = {"description": "Whose sessions the key reads.", "example": "alice"}
_NAME = {"description": "What the key is for.", "example": "support bot"}
_SCOPES = [scope.value for scope in Scope]


def _check_owner(owner_id: str) -> None:
    if flaw := owner_flaw(owner_id):
        raise ValidationError(f"It {flaw}.")


def _check_name(name: str) -> None:
    # `chatstore keys list` prints a line for each key.
    if not name.isprintable():
        raise ValidationError("It must have printable characters only.")


def _check_future(instant: datetime) -> None:
    if instant <= utc_now():
        raise ValidationError("It must be later than now.")


class KeySchema(Schema):
    """An API key in an answer, without its secret."""

    id = fields.String(required=True, metadata=_ID)
    owner = fields.String(attribute="owner_id", required=True, metadata=_OWNER)
    scope = fields.String(
        required=True, validate=validate.OneOf(_SCOPES), metadata={"example": "write"}
    )
    name = fields.String(required=True, allow_none=True, metadata=_NAME)
    created_at = Instant(required=True)
    expires_at = Instant(required=True, allow_none=True)
    revoked_at = Instant(required=True, allow_none=True)
    last_used_at = Instant(
        required=True,
        allow_none=True,
        metadata={"description": "The last use, up to a minute late; null if never."},
    )


class IssuedKeySchema(KeySchema):
    """A new API key, with the text that is shown only now."""

    key = fields.String(
        required=True,
        metadata={
            "description": "The key itself. No other answer has it.",
            "example": f"{API_KEY_PREFIX}7Hq2mZ0aXc4B…",
        },
    )


class KeyPageSchema(Schema):
    """A page of API keys, in the order of their ids."""

    keys = fields.List(fields.Nested(KeySchema), required=True)
    has_more = fields.Boolean(required=True)


class KeyQuerySchema(Schema):
    """The query string of a list of API keys."""

    owner = QueryString(
        validate=validate.Length(max=MAX_OWNER_LENGTH),
        metadata={"description": "Only keys of this owner."},
    )
    after = QueryString(
        validate=validate.Length(equal=ID_LENGTH),
        metadata={"description": "The id of the last key of the page before."},
    )
    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={
            "description": "Maximum number of keys; by default"
            " CHATSTORE_DEFAULT_PAGE_SIZE."
        },
    )


class KeyCreateSchema(Schema):
    """The body that issues an API key."""

    owner: Any = Text(
        required=True,
        validate=[validate.Length(min=1, max=MAX_OWNER_LENGTH), _check_owner],
        metadata=_OWNER,
    )
    scope = fields.String(
        required=True, validate=validate.OneOf(_SCOPES), metadata={"example": "write"}
    )
    name = Text(
        allow_none=True,
        validate=[validate.Length(min=1, max=MAX_NAME_LENGTH), _check_name],
        metadata=_NAME,
    )
    expires_at = Instant(
        allow_none=True,
        validate=_check_future,
        metadata={
            "description": "When the key ends; later than now. Without it, never."
        },
    )
