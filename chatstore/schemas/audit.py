"""The shapes of the audit log."""

from marshmallow import Schema, fields, validate

from chatstore.access.owners import MAX_OWNER_LENGTH
from chatstore.enums import AuditAction
from chatstore.schemas.fields import (
    FreeJson,
    Instant,
    QueryInteger,
    QueryString,
    at_most,
)

# The greatest integer that every JSON parser keeps (RFC 8259, section 6).
_MAX_ID = 2**53 - 1
# `token ` or `proxy ` and an owner are the longest.
_MAX_ACTOR_LENGTH = MAX_OWNER_LENGTH + 16


class AuditQuerySchema(Schema):
    """The query string of the audit log."""

    action = fields.Enum(
        AuditAction, by_value=True, metadata={"description": "Only this act."}
    )
    owner = QueryString(
        attribute="owner_id",
        validate=validate.Length(min=1, max=MAX_OWNER_LENGTH),
        metadata={"description": "Only acts on what this owner has."},
    )
    actor = QueryString(
        validate=validate.Length(min=1, max=_MAX_ACTOR_LENGTH),
        metadata={"description": "Only acts of this actor.", "example": "key abc"},
    )
    since = Instant(metadata={"description": "Only acts at this instant or later."})
    until = Instant(metadata={"description": "Only acts before this instant."})
    before = QueryInteger(
        validate=validate.Range(min=1, max=_MAX_ID),
        metadata={"description": "The id of the last entry of the page before."},
    )
    limit = QueryInteger(
        load_default=50,
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most entries. Default: 50."},
    )


class AuditEntrySchema(Schema):
    """One act."""

    id = fields.Integer(required=True, metadata={"example": 7})
    at = Instant(required=True)
    action = fields.String(required=True, validate=validate.OneOf(list(AuditAction)))
    actor = fields.String(
        required=True,
        metadata={
            "description": "`key` or `login` with its id, `token` or `proxy` with the"
            " owner, `local`, `command line`, or `unknown`."
        },
    )
    owner = fields.String(
        attribute="owner_id",
        required=True,
        allow_none=True,
        metadata={"description": "Whose data it was about."},
    )
    target = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The id of the key, session or share."},
    )
    address = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True, allow_none=True)
    details = FreeJson(required=True, allow_none=True)


class AuditPageSchema(Schema):
    """Entries of the audit log, the newest first."""

    entries = fields.List(fields.Nested(AuditEntrySchema), required=True)
    has_more = fields.Boolean(required=True)
