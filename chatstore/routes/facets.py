"""Routes of what sessions can be filtered by."""

from typing import Any

from flask import current_app

from chatstore.db import reading
from chatstore.schemas.facets import FacetQuerySchema, ModelListSchema, TagListSchema
from chatstore.store import facets
from chatstore.web.api import Blueprint
from chatstore.web.auth import current_owner, identify_caller

bp = Blueprint(
    "facets", __name__, url_prefix="/api/v1", description="What to filter by"
)
bp.before_request(identify_caller)


@bp.get("/tags")
@bp.arguments(FacetQuerySchema, location="query")
@bp.response(200, TagListSchema)
def list_tags(query: dict[str, Any]) -> dict[str, Any]:
    """List the tags of sessions, the most common first."""
    return {"tags": reading(facets.list_tags, **_wanted(query))}


@bp.get("/models")
@bp.arguments(FacetQuerySchema, location="query")
@bp.response(200, ModelListSchema)
def list_models(query: dict[str, Any]) -> dict[str, Any]:
    """List the models of sessions, the most common first."""
    return {"models": reading(facets.list_models, **_wanted(query))}


def _wanted(query: dict[str, Any]) -> dict[str, Any]:
    most = current_app.config["CHATSTORE"].max_page_size
    return {"owner_id": current_owner(), "limit": query.get("limit", most)}
