"""The route that counts what the caller used."""

from typing import Any

from flask import Blueprint, current_app

from chatstore.schemas.usage import UsageQuerySchema, UsageReportSchema
from chatstore.services.background import background_worker_of
from chatstore.services.usage import report_usage
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller

bp = Blueprint("usage", __name__, url_prefix="/api/v1")
bp.before_request(identify_caller)


@bp.get("/usage")
@Operation(query=UsageQuerySchema, answer=UsageReportSchema)
def get_usage(query: dict[str, Any]) -> dict[str, Any]:
    """Count messages, sessions, bytes and tokens by hour, day, week or month."""
    report = report_usage(owner_id=current_owner(), **query)
    if report.needs_worker:
        background_worker_of(current_app).start()
    return report.content
