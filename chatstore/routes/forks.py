"""Routes that copy a branch of a session to a new session."""

from typing import Any
from uuid import UUID

from flask import Blueprint, url_for
from werkzeug.wrappers import Response as BaseResponse

from chatstore.db import run_transaction
from chatstore.models import ChatSession
from chatstore.schemas.forks import ForkCreateSchema
from chatstore.schemas.sessions import SessionSchema
from chatstore.services.background import index_pending_messages
from chatstore.services.forks import copied_fork
from chatstore.services.quotas import room_of
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.etags import etag_header
from chatstore.web.idempotency import (
    IDEMPOTENCY_KEY,
    REPLAYED_HEADER,
    answer_once,
    find_replay,
)
from chatstore.web.responses import json_response

bp = Blueprint("forks", __name__, url_prefix="/api/v1/sessions/<uuid:session_id>/fork")
bp.before_request(identify_caller)


@bp.post("")
@Operation(
    body=ForkCreateSchema,
    request_headers=(IDEMPOTENCY_KEY,),
    answer=SessionSchema,
    status=201,
    answer_headers=("ETag", "Location"),
    errors=(403,),
)
def fork_session(body: dict[str, Any], session_id: UUID) -> BaseResponse:
    """Copy a branch of a session to a new session.

    The new session has the messages up to `at_seq`, numbered from 1.
    """
    replay = find_replay()
    if replay is not None:
        return replay
    room = room_of(current_owner())
    room.require(sessions=1)
    count = size = 0

    def answer() -> BaseResponse:
        nonlocal count, size
        chat = finish()
        count, size = chat.message_count, chat.content_bytes
        room.require(sessions=1, messages=count, size=size)
        return _answer_session(chat)

    with copied_fork(session_id, owner_id=current_owner(), **body) as finish:
        response = answer_once(run_transaction, answer)
    if REPLAYED_HEADER not in response.headers:
        room.note(sessions=1, messages=count, size=size)
    index_pending_messages()
    return response


def _answer_session(chat: ChatSession) -> BaseResponse:
    location = url_for("sessions.get_session", session_id=chat.id)
    headers = {"Location": location, **etag_header(chat)}
    return json_response(SessionSchema, chat, status=201, headers=headers)
