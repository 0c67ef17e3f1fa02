"""Routes for monitors; open to everybody, and not about anybody's data."""

from flask import Response

from chatstore.db.revisions import check_revision
from chatstore.schemas.health import HealthSchema
from chatstore.web.api import Blueprint
from chatstore.web.observe import metrics_text

bp = Blueprint("health", __name__, description="For monitors")


@bp.get("/healthz")
@bp.response(200, HealthSchema)
def get_health() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@bp.get("/readyz")
@bp.response(200, HealthSchema)
def get_readiness() -> dict[str, str]:
    """Say that the database answers, at a revision that this code can serve."""
    check_revision()
    return {"status": "ok"}


@bp.get("/metrics")
@bp.response(200, {"type": "string"}, content_type="text/plain")
def get_metrics() -> Response:
    """Return Prometheus metrics of all worker processes."""
    return Response(metrics_text(), content_type="text/plain; version=0.0.4")
