"""Routes of the links that share a session, for its owner."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, url_for

from chatstore.clock import utc_now
from chatstore.db import run_read, run_write
from chatstore.enums import AuditAction
from chatstore.models import Share
from chatstore.schemas.shares import (
    CreatedShareSchema,
    ShareCreateSchema,
    ShareListSchema,
    ShareSchema,
)
from chatstore.store import shares
from chatstore.web.api import Operation
from chatstore.web.audit import note_act
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.idempotency import refuse_key
from chatstore.web.rate_limits import limit_shares
from chatstore.web.sharing import require_sharing

bp = Blueprint(
    "shares", __name__, url_prefix="/api/v1/sessions/<uuid:session_id>/shares"
)
bp.before_request(identify_caller)
bp.before_request(require_sharing)

_FIELDS = tuple(ShareSchema().fields)


@bp.post("")
@Operation(
    body=ShareCreateSchema, answer=CreatedShareSchema, status=201, errors=(409, 429)
)
def create_share(
    body: dict[str, Any], session_id: UUID
) -> tuple[dict[str, Any], dict[str, str]]:
    """Create a link that reads the session without a login.

    The answer has the link's token, which is shown only now. An Idempotency-Key is
    refused, because a token is stored nowhere.
    """
    refuse_key("The answer has a token, which is stored nowhere")
    limit_shares(current_owner())
    if "expires_in_seconds" in body:
        seconds = body.pop("expires_in_seconds")
        body["expires_at"] = utc_now() + timedelta(seconds=seconds)
    token, share = run_write(_create, session_id, body)
    url = url_for("shared.read_shared_session", token=token)
    created = {name: getattr(share, name) for name in _FIELDS}
    return {**created, "token": token, "url": url}, {
        "Cache-Control": "private, no-store"
    }


@bp.get("")
@Operation(answer=ShareListSchema)
def list_shares(session_id: UUID) -> dict[str, Any]:
    """List the links of a session, newest first, without their tokens."""
    found = run_read(shares.list_shares, session_id, owner_id=current_owner())
    return {"shares": found}


@bp.delete("/<token_id:share_id>")
@Operation(status=204)
def revoke_share(session_id: UUID, share_id: str) -> Response:
    """Revoke a link; to revoke it again changes nothing."""
    run_write(_revoke, session_id, share_id)
    return Response(status=204)


def _create(session_id: UUID, body: dict[str, Any]) -> tuple[str, Share]:
    max_shares = current_app.config["CHATSTORE"].max_shares
    text, share = shares.create_share(
        session_id, owner_id=current_owner(), max_shares=max_shares, **body
    )
    note_act(AuditAction.SHARE_CREATED, target=share.id, session=str(session_id))
    return text, share


def _revoke(session_id: UUID, share_id: str) -> None:
    if shares.revoke_share(session_id, share_id, owner_id=current_owner()):
        note_act(AuditAction.SHARE_REVOKED, target=share_id, session=str(session_id))
