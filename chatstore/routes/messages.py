"""Routes of messages, within a session."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, url_for
from werkzeug.wrappers import Response as BaseResponse

from chatstore.db import prepared, reading, run_transaction
from chatstore.db.group_commit import run_together
from chatstore.models import Message
from chatstore.schemas.messages import (
    MessageBatchAnswerSchema,
    MessageBatchSchema,
    MessageCreateSchema,
    MessageListSchema,
    MessageQuerySchema,
    MessageSchema,
)
from chatstore.services.background import index_appended
from chatstore.store import messages
from chatstore.store.json_rows import AppendedMessage
from chatstore.web.api import LOCATION_DOC, Blueprint
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.idempotency import REPLAYED, answer_once, takes_key
from chatstore.web.observe import note_appended_messages
from chatstore.web.responses import answering
from chatstore.web.streaming import answer_messages

bp = Blueprint(
    "messages",
    __name__,
    url_prefix="/api/v1/sessions/<uuid:session_id>/messages",
    description="The turns of a conversation",
)
bp.before_request(identify_caller)


@answering(201, MessageSchema())
def _answer_message(
    message: AppendedMessage, path: str
) -> tuple[AppendedMessage, dict[str, str]]:
    return message, {"Location": f"{path}/{message.id}"}


@answering(201, MessageBatchAnswerSchema())
def _answer_messages(appended: list[AppendedMessage]) -> dict[str, Any]:
    return {"messages": appended}


@bp.post("")
@bp.arguments(MessageCreateSchema)
@takes_key
@bp.response(201, MessageSchema, headers=LOCATION_DOC)
@bp.alt_response(404, "NOT_FOUND")
@bp.alt_response(409, "CONFLICT")
def append_message(body: dict[str, Any], session_id: UUID) -> BaseResponse:
    """Append a message to a session."""
    append = prepared(
        messages.append_message, session_id, owner_id=current_owner(), **body
    )
    path = url_for("messages.append_message", session_id=session_id)
    return _append(
        partial(run_together, size_bytes=len(body["content"])),
        session_id,
        lambda: _answer_message(append(), path),
        count=1,
    )


@bp.post("/batch")
@bp.arguments(MessageBatchSchema)
@takes_key
@bp.response(201, MessageBatchAnswerSchema)
@bp.alt_response(404, "NOT_FOUND")
@bp.alt_response(409, "CONFLICT")
def append_messages(body: dict[str, Any], session_id: UUID) -> BaseResponse:
    """Append several messages to a session, all or none.

    Their seqs are consecutive.
    """
    append = prepared(
        messages.append_messages,
        session_id,
        owner_id=current_owner(),
        turns=body["messages"],
        expected_seq=body.get("expected_seq"),
    )
    response = _append(
        partial(run_transaction, is_core=True),
        session_id,
        lambda: _answer_messages(append()),
        count=len(body["messages"]),
    )
    index_appended()
    return response


def _append(
    run: Callable[..., Any],
    session_id: UUID,
    answer: Callable[[], BaseResponse],
    *,
    count: int,
) -> BaseResponse:
    response = answer_once(partial(run, turn=session_id), answer)
    if REPLAYED not in response.headers:
        note_appended_messages(count)
    return response


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
