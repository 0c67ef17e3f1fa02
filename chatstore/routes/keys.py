"""Routes of API keys, for callers with scope admin."""

from typing import Any

from flask import Blueprint, current_app

from chatstore.db import run_read, run_write
from chatstore.enums import AuditAction, Scope
from chatstore.models import ApiKey
from chatstore.schemas.keys import (
    IssuedKeySchema,
    KeyCreateSchema,
    KeyPageSchema,
    KeyQuerySchema,
)
from chatstore.store import keys
from chatstore.web.api import Operation
from chatstore.web.audit import note_act
from chatstore.web.auth import identify_caller, require_admin
from chatstore.web.idempotency import refuse_key

_NO_STORE = {"Cache-Control": "no-store"}
_REFUSAL = "A new key is shown once, so this request cannot be repeated with its answer"

bp = Blueprint("keys", __name__, url_prefix="/api/v1/keys")
bp.before_request(identify_caller)
bp.before_request(require_admin)

_COLUMNS = [column.key for column in ApiKey.__table__.columns]
Answer = tuple[dict[str, Any], dict[str, str]]


@bp.get("")
@Operation(query=KeyQuerySchema, answer=KeyPageSchema)
def list_keys(query: dict[str, Any]) -> Answer:
    """List API keys of all owners or of one, in the order of their ids."""
    limit = query.get("limit", current_app.config["CHATSTORE"].default_page_size)
    found = run_read(
        keys.list_keys,
        owner_id=query.get("owner"),
        after=query.get("after"),
        limit=limit + 1,
    )
    return {"keys": found[:limit], "has_more": len(found) > limit}, _NO_STORE


@bp.post("")
@Operation(body=KeyCreateSchema, answer=IssuedKeySchema, status=201)
def issue_key(body: dict[str, Any]) -> Answer:
    """Issue an API key. The answer shows it, and no later answer does."""
    refuse_key(_REFUSAL)
    return _shown(*run_write(_issue, body)), _NO_STORE


@bp.post("/<token_id:key_id>/rotate")
@Operation(answer=IssuedKeySchema, status=201)
def rotate_key(key_id: str) -> Answer:
    """Revoke an API key, and issue one that may do the same until the same time."""
    refuse_key(_REFUSAL)
    return _shown(*run_write(_rotate, key_id)), _NO_STORE


@bp.delete("/<token_id:key_id>")
@Operation(status=204)
def revoke_key(key_id: str) -> None:
    """Revoke an API key. Every server refuses it within a second."""
    run_write(_revoke, key_id)


def _issue(body: dict[str, Any]) -> tuple[str, ApiKey]:
    text, key = keys.create_key(
        owner_id=body["owner"],
        scope=Scope(body["scope"]),
        name=body.get("name"),
        expires_at=body.get("expires_at"),
    )
    note_act(
        AuditAction.KEY_ISSUED, owner_id=key.owner_id, target=key.id, scope=key.scope
    )
    return text, key


def _rotate(key_id: str) -> tuple[str, ApiKey]:
    text, key = keys.rotate_key(key_id)
    note_act(
        AuditAction.KEY_ROTATED,
        owner_id=key.owner_id,
        target=key_id,
        replaced_by=key.id,
    )
    return text, key


def _revoke(key_id: str) -> None:
    if key := keys.revoke_key(key_id):
        note_act(AuditAction.KEY_REVOKED, owner_id=key.owner_id, target=key.id)


def _shown(text: str, key: ApiKey) -> dict[str, Any]:
    members = {name: getattr(key, name) for name in _COLUMNS}
    return members | {"key": text}
