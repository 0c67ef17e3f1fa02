"""The shapes of the change feed."""

import re
from typing import Any

from marshmallow import Schema, fields, validate

from chatstore.schemas.fields import QueryInteger, at_most

MAX_WAIT_SECONDS = 30


class QuerySeconds(fields.Float):
    """A number of seconds in a query string, written in ASCII."""

    _FORM = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")

    def _validated(self, value: Any) -> float:
        if isinstance(value, str) and not self._FORM.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class ChangesQuerySchema(Schema):
    """The query string of the change feed."""

    since = fields.String(
        metadata={
            "description": "The `next` of the last answer. Without it, the answer has"
            " no changes and the token of now."
        }
    )
    limit = QueryInteger(
        validate=[validate.Range(min=1), at_most("max_page_size")],
        metadata={"description": "Most changes to return; 100 by default."},
    )
    wait = QuerySeconds(
        validate=validate.Range(min=0, max=MAX_WAIT_SECONDS),
        metadata={
            "description": "If nothing has changed, wait up to this many seconds for a"
            " change."
        },
    )


class ChangeSchema(Schema):
    """The latest state of a session or a message that changed.

    A message has `seq` and `revision`. A session has `deleted`, or `revision`,
    `last_seq` and `head_seq`.
    """

    kind = fields.String(required=True, validate=validate.OneOf(["session", "message"]))
    session_id = fields.UUID(required=True)
    seq = fields.Integer(
        metadata={
            "description": "The message that was edited, deleted or rated.",
            "example": 2,
        }
    )
    revision = fields.Integer(metadata={"example": 3})
    last_seq = fields.Integer(metadata={"example": 4})
    head_seq = fields.Integer(
        allow_none=True,
        metadata={
            "description": "Null if the session has no messages.",
            "example": 4,
        },
    )
    is_new = fields.Boolean(
        metadata={
            "description": "True if the session was created since the token: drop any"
            " copy that has its id. The member may be missing."
        }
    )
    deleted = fields.Boolean(
        metadata={"description": "True if the owner does not see the session any more."}
    )


class ChangePageSchema(Schema):
    """A page of changes, each session and each message once."""

    changes = fields.List(fields.Nested(ChangeSchema), required=True)
    next = fields.String(
        required=True,
        metadata={"description": "The `since` of the next request."},
    )
    has_more = fields.Boolean(
        required=True,
        metadata={"description": "Whether there are more changes already."},
    )
