"""Finds an owner's sessions by name and messages by text, in pages of hits.

The database ranks one window at a time: the newest 10,000 matches. Our own score ranks
the window's best hundred again, and the pages show them. Then come the next hundred, up
to `MAX_RANKED`. The rest of the window follows newest first, then the next window. So
a common word costs little more than a rare one, and the pages reach every match.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from chatstore.db import is_sqlite, read_connection
from chatstore.db.prepared import Prepared
from chatstore.enums import Role, SearchGroup, SearchPart, SearchSort
from chatstore.fulltext.positions import PLACES_OF_A_WORD
from chatstore.fulltext.query import Query, parse_query
from chatstore.models import ChatSession
from chatstore.store.filters import SessionFilters, find_rare_facet
from chatstore.store.search.counts import Total, count_hits
from chatstore.store.search.criteria import BOUNDS, Bounds, Criteria, SearchPlace
from chatstore.store.search.hits import Hit, count_checkable, make_hits, scores_of
from chatstore.store.search.plans import (
    find_by_keys,
    find_matches,
    narrow,
    take_first_look,
)
from chatstore.store.search.rows import MatchRow
from chatstore.store.sessions import IS_OWNED, no_such_session, session_parameters

# If the filters reject a whole window, the search reads the next one at once. One page
# reads at most this many windows.
MAX_WINDOWS = 3

_EXISTS = Prepared(select(ChatSession.id).where(IS_OWNED))


@dataclass(frozen=True, kw_only=True)
class Search:
    """A request to search; `after` and `before` are exclusive bounds.

    A cursor is bound to these values and to the name of this class. The order by seq
    needs a session. `group` is for `groups.search_groups`.
    """

    q: str
    filters: SessionFilters = SessionFilters()
    sort: SearchSort = SearchSort.RELEVANCE
    session_id: UUID | None = None
    role: Role | None = None
    after: datetime | None = None
    before: datetime | None = None
    group: SearchGroup | None = None


@dataclass(frozen=True)
class HitPage:
    """Hits, and the place where the next page begins: None after the last page.

    `total` is the number of hits on all pages, if it was asked for.
    """

    hits: list[Hit]
    next_place: SearchPlace | None
    total: Total | None = None


def search(
    wanted: Search,
    *,
    owner_id: str,
    limit: int,
    place: SearchPlace | None = None,
    counts: bool = False,
    bounds: Bounds = BOUNDS,
) -> HitPage:
    """Return up to `limit` hits from `place` on: sessions by name, then messages.

    A page before the last one may be shorter than `limit`, even empty. If `counts`, it
    has the total of hits. Raises NotFound if the owner has no session `session_id`.
    """
    with read_connection() as connection:
        criteria = criteria_of(connection, wanted, owner_id, limit, bounds)
        if criteria is None:
            return HitPage([], None, Total(0, is_exact=True) if counts else None)
        total = count_hits(connection, criteria) if counts else None
        part = SearchPart.MESSAGES if criteria.by_seq else SearchPart.NAMES
        place = place or SearchPlace(part)
        for _ in range(MAX_WINDOWS):
            page = _search_window(connection, criteria, place)
            if page.hits or page.next_place is None:
                break
            place = page.next_place
        return replace(page, total=total)


def criteria_of(
    connection: Connection, wanted: Search, owner_id: str, limit: int, bounds: Bounds
) -> Criteria | None:
    """Return the criteria of a search; None if no text can match its query.

    Raises NotFound if the owner has no session `session_id`.
    """
    query = parse_query(wanted.q)
    rare_facet = None
    if wanted.session_id is not None:
        _check_session(connection, wanted.session_id, owner_id)
    elif query.can_match:
        rare_facet = find_rare_facet(connection, wanted.filters, owner_id=owner_id)
    if not query.can_match:
        return None
    return Criteria(
        owner_id=owner_id,
        query=query,
        filters=wanted.filters,
        rare_facet=rare_facet,
        session_ids=(wanted.session_id,) if wanted.session_id else (),
        role=wanted.role,
        after=wanted.after,
        before=wanted.before,
        by_rank=wanted.sort is SearchSort.RELEVANCE,
        by_seq=wanted.sort is SearchSort.SEQ,
        limit=min(limit, bounds.batch),
        sure_characters=_sure_characters(query),
        bounds=bounds,
    )


def _check_session(connection: Connection, session_id: UUID, owner_id: str) -> None:
    if not _EXISTS.rows(connection, session_parameters(session_id, owner_id)):
        raise no_such_session(session_id)


def _sure_characters(query: Query) -> int | None:
    """Return up to which length of text the index is right about phrases: None if any.

    PostgreSQL's index lacks some places of a word in a long text. The query of FTS5
    shortens a phrase that repeats a word, in a text of any length.
    """
    if is_sqlite():
        return 0 if query.has_repeats else None
    return PLACES_OF_A_WORD if query.has_phrase else None


def _search_window(
    connection: Connection, criteria: Criteria, place: SearchPlace
) -> HitPage:
    if place.unshown:
        return _page_of_unshown(connection, criteria, place)
    look = take_first_look(connection, criteria, place)
    if criteria.is_narrow and not look.session_ids:
        return HitPage([], None)
    hits: list[Hit] = []
    if place.part is SearchPart.NAMES:
        page = page_of_rows(connection, criteria, look.names, look.names_place)
        place = SearchPlace(SearchPart.MESSAGES)
        if len(page.hits) == criteria.limit or page.next_place:
            return HitPage(page.hits, page.next_place or place)
        hits = page.hits
        criteria = replace(criteria, limit=criteria.limit - len(hits))
    criteria = narrow(criteria, look)
    rows, place = find_matches(connection, criteria, place, look)
    page = page_of_rows(connection, criteria, rows, place)
    return HitPage(hits + page.hits, page.next_place)


def page_of_rows(
    connection: Connection,
    criteria: Criteria,
    rows: Sequence[MatchRow],
    place: SearchPlace,
) -> HitPage:
    """Return a page of the first hits in `rows`, which were found at `place`."""
    scores: dict[int, float] = {}
    if criteria.ranks(place):
        scores = scores_of(rows, criteria.query)
        rows = sorted(rows, key=lambda row: (scores[row.key], row.key), reverse=True)
        size = min(criteria.limit, _checkable(rows[: criteria.limit], criteria))
        keys = tuple(row.key for row in rows)
        place = replace(place, ranked=(*place.ranked, *keys), unshown=keys[size:])
    else:
        size = _checkable(rows, criteria)
        if not place.is_exhausted or size < len(rows):
            last = rows[size - 1].key
            if criteria.by_seq:
                place = replace(place, low=last + 1, is_exhausted=False)
            else:
                place = replace(place, high=last, is_exhausted=False)
    rows = rows[:size]
    scores = scores or scores_of(rows, criteria.query)
    hits = list(make_hits(connection, rows, scores, criteria))
    return HitPage(hits, _next_place(place, criteria))


def _page_of_unshown(
    connection: Connection, criteria: Criteria, place: SearchPlace
) -> HitPage:
    """Return a page of matches that were ranked for an earlier page and not shown."""
    size = criteria.limit
    rows = find_by_keys(connection, criteria, place, place.unshown[:size])
    checkable = _checkable(rows, criteria)
    if checkable < len(rows):
        size = place.unshown.index(rows[checkable].key)
        rows = rows[:checkable]
    following = _next_place(replace(place, unshown=place.unshown[size:]), criteria)
    if following is None and place.part is SearchPart.NAMES:
        following = SearchPlace(SearchPart.MESSAGES)
    scores = scores_of(rows, criteria.query)
    return HitPage(list(make_hits(connection, rows, scores, criteria)), following)


def _next_place(place: SearchPlace, criteria: Criteria) -> SearchPlace | None:
    if place.unshown or not place.is_exhausted:
        return replace(place, ranked=()) if place.is_exhausted else place
    if place.low and criteria.by_rank:
        return SearchPlace(place.part, high=place.low)
    return None


def _checkable(rows: Sequence[MatchRow], criteria: Criteria) -> int:
    """Return how many of the rows one page can check: at least one."""
    if criteria.sure_characters is None:
        return len(rows)
    return max(1, count_checkable([row.bytes for row in rows]))
