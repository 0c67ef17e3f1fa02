"""The route of the search."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, current_app

from chatstore.db import run_read, search_turn
from chatstore.enums import Archived, SearchPart
from chatstore.schemas.search import HitPageSchema, SearchQuerySchema
from chatstore.store.filters import SessionFilters
from chatstore.store.search.criteria import SearchPlace
from chatstore.store.search.pages import Search, search
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.cursors import read_cursor, sign_cursor

DEFAULT_LIMIT = 20
_SEARCH_FIELDS = ("q", "sort", "session_id", "role", "after", "before")

bp = Blueprint("search", __name__, url_prefix="/api/v1/search")
bp.before_request(identify_caller)


@bp.get("")
@Operation(query=SearchQuerySchema, answer=HitPageSchema, errors=(404,))
def search_all(query: dict[str, Any]) -> dict[str, Any]:
    """Search names of sessions and text of messages.

    Names come first; docs/search.md has the query language.
    """
    if "session_id" in query:  # a named session is searched even if archived
        query.setdefault("archived", Archived.ANY)
    wanted = Search(
        filters=SessionFilters.among(query),
        **{name: query[name] for name in _SEARCH_FIELDS if name in query},
    )
    max_page_size = current_app.config["CHATSTORE"].max_page_size
    with search_turn():
        page = run_read(
            search,
            wanted,
            owner_id=current_owner(),
            limit=query.get("limit", min(DEFAULT_LIMIT, max_page_size)),
            place=_place(query.get("cursor"), wanted),
        )
    return {"hits": page.hits, "next_cursor": _cursor(page.next_place, wanted)}


def _cursor(place: SearchPlace | None, wanted: Search) -> str | None:
    return sign_cursor(list(asdict(place).values()), listing=wanted) if place else None


def _place(cursor: str | None, wanted: Search) -> SearchPlace | None:
    if cursor is None:
        return None
    part, high, low, is_exhausted, ranked, unshown = read_cursor(cursor, listing=wanted)
    return SearchPlace(
        SearchPart(part), high, low, is_exhausted, tuple(ranked), tuple(unshown)
    )
