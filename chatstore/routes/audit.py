"""The route by which administrators read the audit log."""

from typing import Any

from flask import Blueprint

from chatstore.db import run_read
from chatstore.schemas.audit import AuditPageSchema, AuditQuerySchema
from chatstore.store.audit import AuditFilters, list_entries
from chatstore.web.api import Operation
from chatstore.web.auth import identify_caller, require_admin

bp = Blueprint("audit", __name__, url_prefix="/api/v1")
bp.before_request(identify_caller)
bp.before_request(require_admin)


@bp.get("/audit")
@Operation(query=AuditQuerySchema, answer=AuditPageSchema)
def list_audit_entries(
    query: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, str]]:
    """List acts that administrators answer for, the newest first."""
    limit, before = query.pop("limit"), query.pop("before", None)
    found = run_read(
        list_entries, AuditFilters(**query), before=before, limit=limit + 1
    )
    page = {"entries": found[:limit], "has_more": len(found) > limit}
    return page, {"Cache-Control": "no-store"}
