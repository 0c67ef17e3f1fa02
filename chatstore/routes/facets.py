"""Routes that list tags and models, which are filters of session lists."""

from typing import Any

from flask import Blueprint, current_app

from chatstore.db import run_read
from chatstore.schemas.facets import FacetQuerySchema, ModelListSchema, TagListSchema
from chatstore.store import facets
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.etags import validate_lists

bp = Blueprint("facets", __name__, url_prefix="/api/v1")
bp.before_request(identify_caller)


@bp.get("/tags")
@Operation(query=FacetQuerySchema, answer=TagListSchema, validator=validate_lists)
def list_tags(query: dict[str, Any]) -> dict[str, Any]:
    """List the tags of sessions, the most common first."""
    return {"tags": run_read(facets.list_tags, **_list_arguments(query))}


@bp.get("/models")
@Operation(query=FacetQuerySchema, answer=ModelListSchema, validator=validate_lists)
def list_models(query: dict[str, Any]) -> dict[str, Any]:
    """List the models of sessions, the most common first."""
    return {"models": run_read(facets.list_models, **_list_arguments(query))}


def _list_arguments(query: dict[str, Any]) -> dict[str, Any]:
    max_page_size = current_app.config["CHATSTORE"].max_page_size
    return {"owner_id": current_owner(), "limit": query.get("limit", max_page_size)}
