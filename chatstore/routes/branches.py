"""Routes of the branches of a conversation."""

from typing import Any
from uuid import UUID

from flask import Blueprint

from chatstore.db import run_read
from chatstore.schemas.branches import PathQuerySchema, PathSchema
from chatstore.store import paths
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller

bp = Blueprint("branches", __name__, url_prefix="/api/v1/sessions/<uuid:session_id>")
bp.before_request(identify_caller)


@bp.get("/path")
@Operation(query=PathQuerySchema, answer=PathSchema, errors=(409,))
def get_path(query: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Read which messages a branch has.

    They are runs of consecutive seqs, because most messages follow the one before.
    """
    path = run_read(
        paths.get_path,
        session_id,
        owner_id=current_owner(),
        head_seq=query.get("head"),
    )
    return {
        "head_seq": path.head_seq or None,
        "length": path.runs.length,
        "runs": path.runs.pairs(),
    }
