"""The route of the search."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app

from chatstore.db import run_read, search_turn
from chatstore.enums import Archived, SearchPart
from chatstore.schemas.search import (
    GroupPageSchema,
    HitPageSchema,
    SearchQuerySchema,
)
from chatstore.store.filters import SessionFilters
from chatstore.store.search.counts import Total
from chatstore.store.search.criteria import SearchPlace
from chatstore.store.search.groups import GroupPlace, search_groups
from chatstore.store.search.pages import Search, search
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.cursors import read_cursor, sign_cursor
from chatstore.web.responses import json_response

DEFAULT_LIMIT, DEFAULT_PER_GROUP = 20, 3
_SEARCH_FIELDS = ("q", "sort", "session_id", "role", "after", "before", "group")

bp = Blueprint("search", __name__, url_prefix="/api/v1/search")
bp.before_request(identify_caller)


@bp.get("")
@Operation(
    query=SearchQuerySchema,
    answer=HitPageSchema,
    other_answers=(GroupPageSchema,),
    errors=(404,),
)
def search_all(query: dict[str, Any]) -> dict[str, Any] | Response:
    """Search names of sessions and text of messages.

    Names come first; docs/search.md has the query language. With `group=session`, the
    hits are listed under their sessions.
    """
    if "session_id" in query:  # a named session is searched even if archived
        query.setdefault("archived", Archived.ANY)
    wanted = Search(
        filters=SessionFilters.among(query),
        **{name: query[name] for name in _SEARCH_FIELDS if name in query},
    )
    max_page_size = current_app.config["CHATSTORE"].max_page_size
    query.setdefault("limit", min(DEFAULT_LIMIT, max_page_size))
    if wanted.group is not None:
        return _answer_groups(wanted, query)
    with search_turn():
        page = run_read(
            search,
            wanted,
            owner_id=current_owner(),
            limit=query["limit"],
            place=_place(query.get("cursor"), wanted),
            counts=query.get("count", False),
        )
    cursor = _cursor(page.next_place, wanted)
    return {"hits": page.hits, "next_cursor": cursor, **_total(page.total)}


def _answer_groups(wanted: Search, query: dict[str, Any]) -> Response:
    with search_turn():
        page = run_read(
            search_groups,
            wanted,
            owner_id=current_owner(),
            limit=query["limit"],
            per_session=query.get("per_group", DEFAULT_PER_GROUP),
            place=_group_place(query.get("cursor"), wanted),
            counts=query.get("count", False),
        )
    cursor = _group_cursor(page.next_place, wanted)
    answer = {"groups": page.groups, "next_cursor": cursor, **_total(page.total)}
    return json_response(GroupPageSchema, answer)


def _total(total: Total | None) -> dict[str, Any]:
    if total is None:
        return {}
    return {"total": total.hits, "total_is_exact": total.is_exact}


def _group_cursor(place: GroupPlace | None, wanted: Search) -> str | None:
    if place is None:
        return None
    sessions = [each.hex for each in place.sessions]
    return sign_cursor([place.low, *sessions], listing=wanted)


def _group_place(cursor: str | None, wanted: Search) -> GroupPlace | None:
    if cursor is None:
        return None
    low, *sessions = read_cursor(cursor, listing=wanted)
    return GroupPlace(low, tuple(map(UUID, sessions)))


def _cursor(place: SearchPlace | None, wanted: Search) -> str | None:
    return sign_cursor(list(asdict(place).values()), listing=wanted) if place else None


def _place(cursor: str | None, wanted: Search) -> SearchPlace | None:
    if cursor is None:
        return None
    part, high, low, is_exhausted, ranked, unshown = read_cursor(cursor, listing=wanted)
    return SearchPlace(
        SearchPart(part), high, low, is_exhausted, tuple(ranked), tuple(unshown)
    )
