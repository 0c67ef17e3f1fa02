"""Routes for monitors. They need no authentication and show no user's data."""

from flask import Blueprint, Response

from chatstore.db.revisions import check_revision
from chatstore.schemas.health import HealthSchema
from chatstore.web.api import Operation
from chatstore.web.observe import metrics_text

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@Operation(answer=HealthSchema)
def get_health() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@bp.get("/readyz")
@Operation(answer=HealthSchema)
def get_readiness() -> dict[str, str]:
    """Say that the database answers, at a revision that this code can serve."""
    check_revision()
    return {"status": "ok"}


@bp.get("/metrics")
@Operation(media_type="text/plain")
def get_metrics() -> Response:
    """Return Prometheus metrics of all worker processes."""
    return Response(metrics_text(), content_type="text/plain; version=0.0.4")
