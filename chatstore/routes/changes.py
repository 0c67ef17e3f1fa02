"""The route of the change feed."""

from functools import partial
from typing import Any

from flask import Blueprint, current_app

from chatstore.clock import Deadline
from chatstore.schemas.changes import ChangePageSchema, ChangesQuerySchema
from chatstore.services import changes
from chatstore.settings import Settings
from chatstore.store.changes import ChangePage
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.change_tokens import decode_token, encode_token
from chatstore.web.waiting_room import share_with_woken, wait_for_change

DEFAULT_LIMIT = 100

bp = Blueprint("changes", __name__, url_prefix="/api/v1/changes")
bp.before_request(identify_caller)


@bp.get("")
@Operation(query=ChangesQuerySchema, answer=ChangePageSchema, errors=(410,))
def list_changes(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List the sessions and messages that changed since a token.

    Each is listed as it is now, once in a page; later pages may repeat it. Appended
    messages change the `last_seq` of their session. A page may be shorter than
    `limit` without being the last. An empty page may come before `wait` seconds have
    passed, when the server stops or too many requests wait.
    """
    owner_id = current_owner()
    deadline = Deadline(query.get("wait", 0) if "since" in query else 0)
    # Requests that one change wakes often have the same token, so they share a page.
    page = share_with_woken(
        (owner_id, query.get("since"), query.get("limit")),
        partial(_read_page, query, owner_id),
    )
    while not page.changes and wait_for_change(
        owner_id, seen=page.next.change_id, deadline=deadline
    ):
        page = _read_page(query, owner_id)
    token = encode_token(page.next, owner_id=owner_id)
    answer = {"changes": page.changes, "next": token, "has_more": page.has_more}
    return answer, {"Cache-Control": "no-store"}


def _read_page(query: dict[str, Any], owner_id: str) -> ChangePage:
    settings: Settings = current_app.config["CHATSTORE"]
    since = query.get("since")
    return changes.list_changes(
        owner_id,
        after=None if since is None else decode_token(since, owner_id=owner_id),
        limit=query.get("limit", min(DEFAULT_LIMIT, settings.max_page_size)),
        tombstone_days=settings.tombstone_days,
    )
