"""The route of the list of rated messages."""

from typing import Any

from flask import Blueprint, current_app

from chatstore.db import run_read
from chatstore.schemas.corrections import FeedbackPageSchema, FeedbackQuerySchema
from chatstore.store.feedback import FeedbackListing, list_feedback, listing_of
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.cursors import read_cursor, sign_cursor

bp = Blueprint("feedback", __name__, url_prefix="/api/v1/feedback")
bp.before_request(identify_caller)


@bp.get("")
@Operation(query=FeedbackQuerySchema, answer=FeedbackPageSchema, errors=(404,))
def list_rated_messages(query: dict[str, Any]) -> dict[str, Any]:
    """List messages with feedback, newest first.

    A page may be shorter than `limit` without being the last.
    """
    listing = listing_of(query)
    page = run_read(
        list_feedback,
        listing,
        owner_id=current_owner(),
        limit=query.get("limit", current_app.config["CHATSTORE"].default_page_size),
        before=_place(query.get("cursor"), listing),
    )
    next_cursor = None
    if page.next_before is not None:
        next_cursor = sign_cursor([page.next_before], listing=listing)
    return {"messages": page.messages, "next_cursor": next_cursor}


def _place(cursor: str | None, listing: FeedbackListing) -> int | None:
    if cursor is None:
        return None
    (before,) = read_cursor(cursor, listing=listing)
    return int(before)
