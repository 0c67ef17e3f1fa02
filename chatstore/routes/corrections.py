"""Routes that edit, delete and rate messages."""

from typing import Any
from uuid import UUID

from flask import Blueprint, current_app

from chatstore.db import prepared, run_read, run_transaction
from chatstore.schemas.corrections import (
    ClearedSchema,
    FeedbackSchema,
    MessageUpdateSchema,
    RevisionPageSchema,
    RevisionQuerySchema,
)
from chatstore.schemas.messages import MessageSchema
from chatstore.services import clearing, edits
from chatstore.services.quotas import room_of
from chatstore.store import erasures, feedback, revisions
from chatstore.store.edits import EditBounds
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.etags import etag_header, if_match_revisions
from chatstore.web.idempotency import IDEMPOTENCY_KEY, REPLAYED_HEADER, read_keyed

bp = Blueprint("corrections", __name__, url_prefix="/api/v1/sessions/<uuid:session_id>")
bp.before_request(identify_caller)


@bp.patch("/messages/<int:message_id>")
@Operation(
    body=MessageUpdateSchema,
    request_headers=("If-Match",),
    answer=MessageSchema,
    answer_headers=("ETag",),
    errors=(403, 409, 410),
)
def edit_message(
    body: dict[str, Any], session_id: UUID, message_id: int
) -> tuple[str, dict[str, str]]:
    """Edit a message, and keep what it said before as a revision.

    Fields that the body omits stay, and so do seq and timestamp.
    """
    room, size = room_of(current_owner()), 0

    def check_bytes(more: int) -> None:
        nonlocal size
        size = more
        room.require(size=size)

    message = edits.edit_message(
        session_id,
        message_id,
        owner_id=current_owner(),
        changes=body,
        if_revisions=if_match_revisions(),
        bounds=EditBounds(
            extra_bytes=current_app.config["CHATSTORE"].max_message_bytes
        ),
        check_bytes=check_bytes,
    )
    room.note(size=size)
    return message.text, etag_header(message)


@bp.get("/messages/<int:message_id>/revisions")
@Operation(query=RevisionQuerySchema, answer=RevisionPageSchema)
def list_revisions(
    query: dict[str, Any], session_id: UUID, message_id: int
) -> dict[str, Any]:
    """List what a message said before its edits, newest first."""
    page = run_read(
        revisions.list_revisions,
        session_id,
        message_id,
        owner_id=current_owner(),
        limit=query.get("limit", current_app.config["CHATSTORE"].default_page_size),
        before=query.get("before"),
    )
    return {"revisions": page.revisions, "has_more": page.has_more}


@bp.delete("/messages/<int:message_id>")
@Operation(status=204)
def delete_message(session_id: UUID, message_id: int) -> None:
    """Delete what a message says, for good; its place stays."""
    delete = prepared(
        erasures.delete_message, session_id, message_id, owner_id=current_owner()
    )
    run_transaction(delete, turn=session_id)


@bp.put("/messages/<int:message_id>/feedback")
@Operation(
    body=FeedbackSchema, answer=MessageSchema, answer_headers=("ETag",), errors=(410,)
)
def set_feedback(
    body: dict[str, Any], session_id: UUID, message_id: int
) -> tuple[str, dict[str, str]]:
    """Rate a message; empty feedback removes an earlier one."""
    rate = prepared(
        feedback.set_feedback,
        session_id,
        message_id,
        owner_id=current_owner(),
        feedback=body,
    )
    message = run_transaction(rate, turn=session_id)
    return message.text, etag_header(message)


@bp.post("/clear")
@Operation(request_headers=(IDEMPOTENCY_KEY,), answer=ClearedSchema, errors=(400,))
def clear_session(session_id: UUID) -> tuple[dict[str, Any], dict[str, str]]:
    """Delete what all messages of a session say, for good; their places stay."""
    state = clearing.clear_session(
        session_id, owner_id=current_owner(), keyed=read_keyed()
    )
    headers = {REPLAYED_HEADER: "true"} if state.is_replay else {}
    return {"cleared": state.cleared}, headers
