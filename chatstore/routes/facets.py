"""Routes of tags and models, which are filters of session lists."""

from functools import partial
from typing import Any

from flask import Blueprint, current_app
from werkzeug.wrappers import Response as BaseResponse

from chatstore.db import run_read, run_transaction
from chatstore.enums import Archived
from chatstore.schemas.facets import (
    FacetQuerySchema,
    ModelListSchema,
    TagChangedSchema,
    TagDeleteSchema,
    TagListSchema,
    TagQuerySchema,
    TagRenameSchema,
)
from chatstore.services.tags import change_tag
from chatstore.store import facets, tags
from chatstore.store.filters import SessionFilters
from chatstore.store.tags import TagChange
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.etags import page_etag, validate_lists
from chatstore.web.idempotency import (
    IDEMPOTENCY_KEY,
    answer_once,
    find_replay,
    read_key,
)
from chatstore.web.responses import json_response

bp = Blueprint("facets", __name__, url_prefix="/api/v1")
bp.before_request(identify_caller)


@bp.get("/tags")
@Operation(query=TagQuerySchema, answer=TagListSchema, validator=validate_lists)
def list_tags(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List the tags of sessions, the most common first.

    Tags are equal whatever their case and Unicode form. Each is spelled as in the
    oldest session that has it.
    """
    filters = SessionFilters.among({"archived": Archived.ANY, **query})
    found = run_read(
        tags.list_tags,
        **_list_arguments(query),
        prefix=query.get("prefix", ""),
        filters=filters,
    )
    return {"tags": found.items}, page_etag(found.validator)


@bp.post("/tags/rename")
@Operation(
    body=TagRenameSchema, request_headers=(IDEMPOTENCY_KEY,), answer=TagChangedSchema
)
def rename_tag(body: dict[str, Any]) -> BaseResponse:
    """Rename a tag in all sessions that have it.

    A session that has both tags keeps one, at the first place. last_updated_at stays.
    """
    return _change_tag(TagChange(current_owner(), body["from_"], body["to"]))


@bp.post("/tags/delete")
@Operation(
    body=TagDeleteSchema, request_headers=(IDEMPOTENCY_KEY,), answer=TagChangedSchema
)
def delete_tag(body: dict[str, Any]) -> BaseResponse:
    """Remove a tag from all sessions that have it; last_updated_at stays."""
    return _change_tag(TagChange(current_owner(), body["tag"]))


@bp.get("/models")
@Operation(query=FacetQuerySchema, answer=ModelListSchema, validator=validate_lists)
def list_models(query: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """List the models of sessions, the most common first."""
    found = run_read(facets.list_models, **_list_arguments(query))
    return {"models": found.items}, page_etag(found.validator)


def _list_arguments(query: dict[str, Any]) -> dict[str, Any]:
    max_page_size = current_app.config["CHATSTORE"].max_page_size
    return {"owner_id": current_owner(), "limit": query.get("limit", max_page_size)}


def _change_tag(change: TagChange) -> BaseResponse:
    replay = find_replay()
    if replay is not None:
        return replay
    finish = change_tag(change)
    key = read_key()
    turn = None if key is None else (change.owner_id, key)
    return answer_once(
        partial(run_transaction, turn=turn),
        lambda: json_response(TagChangedSchema, {"changed": finish()}),
    )
