"""Routes of messages, within a session."""

from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, url_for

from chatstore.db import in_core_transaction, reading
from chatstore.grouping import together
from chatstore.models import Message
from chatstore.schemas.messages import (
    MessageBatchAnswerSchema,
    MessageBatchSchema,
    MessageCreateSchema,
    MessageListSchema,
    MessageQuerySchema,
    MessageSchema,
)
from chatstore.store import messages
from chatstore.store.sent import AppendedMessage
from chatstore.web.api import LOCATION_DOC, Blueprint
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.idempotency import idempotent
from chatstore.web.observe import note_appended_messages
from chatstore.web.streaming import answer_messages

bp = Blueprint(
    "messages",
    __name__,
    url_prefix="/api/v1/sessions/<uuid:session_id>/messages",
    description="The turns of a conversation",
)
bp.before_request(identify_caller)


@bp.post("")
@bp.arguments(MessageCreateSchema)
@idempotent
@bp.response(201, MessageSchema, headers=LOCATION_DOC)
@bp.alt_response(404, "NOT_FOUND")
@bp.alt_response(409, "CONFLICT")
def append_message(
    body: dict[str, Any], session_id: UUID
) -> tuple[AppendedMessage, dict[str, str]]:
    """Append a message to a session."""
    message = together(
        messages.append_message, session_id, owner_id=current_owner(), **body
    )
    note_appended_messages(1)
    location = url_for(
        "messages.get_message", session_id=session_id, message_id=message.id
    )
    return message, {"Location": location}


@bp.post("/batch")
@bp.arguments(MessageBatchSchema)
@idempotent
@bp.response(201, MessageBatchAnswerSchema)
@bp.alt_response(404, "NOT_FOUND")
@bp.alt_response(409, "CONFLICT")
def append_messages(body: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Append several messages to a session, all or none.

    Their seqs are consecutive.
    """
    appended = in_core_transaction(
        messages.append_messages,
        session_id,
        owner_id=current_owner(),
        turns=body["messages"],
        expected_seq=body.get("expected_seq"),
    )
    note_appended_messages(len(appended))
    return {"messages": appended}


@bp.get("")
@bp.arguments(MessageQuerySchema, location="query")
@bp.response(200, MessageListSchema)
@bp.alt_response(404, "NOT_FOUND")
def list_messages(query: dict[str, Any], session_id: UUID) -> Response:
    """List the messages of a session in the order of their seq.

    Without `limit` all of them, streamed.
    """
    read = partial(_read_chunk, session_id, current_owner())
    return answer_messages(read, messages.MessageRange(**query))


@bp.get("/<int:message_id>")
@bp.response(200, MessageSchema)
@bp.alt_response(404, "NOT_FOUND")
def get_message(session_id: UUID, message_id: int) -> Message:
    """Read one message."""
    return reading(
        messages.get_message, session_id, message_id, owner_id=current_owner()
    )


def _read_chunk(
    session_id: UUID, owner_id: str, wanted: messages.MessageRange
) -> messages.MessageChunk:
    return reading(messages.list_messages, session_id, owner_id=owner_id, wanted=wanted)
