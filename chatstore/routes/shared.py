"""The route that reads a session by a link, without a login."""

from typing import Any

from flask import Blueprint, Response, current_app

from chatstore.access.share_reads import ShareReads
from chatstore.app_state import get_from_app
from chatstore.clock import utc_now
from chatstore.db import run_read
from chatstore.schemas.shares import SharedPageSchema, SharedQuerySchema
from chatstore.store import shares
from chatstore.web.api import Operation
from chatstore.web.rate_limits import limit_shared_reads
from chatstore.web.sharing import require_sharing

bp = Blueprint("shared", __name__, url_prefix="/api/v1/shared")
bp.before_request(require_sharing)
bp.before_request(limit_shared_reads)

# Errors have these too, because their URL is as secret.
_HEADERS = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
}


@bp.after_request
def _hide(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response


@bp.get("/<token:token>")
@Operation(query=SharedQuerySchema, answer=SharedPageSchema, errors=(409, 429))
def read_shared_session(query: dict[str, Any], token: str) -> shares.SharedPage:
    """Read a session by a link, without a login.

    A page may be shorter than `limit` without being the last.
    """
    query.setdefault("limit", current_app.config["CHATSTORE"].default_page_size)
    page = run_read(shares.read_shared, token, **query)
    if query["after"] == 0:  # the other pages belong to the same read
        get_from_app(ShareReads).note(page.share_id, utc_now())
    return page
