"""Finds an owner's sessions by name and messages by text, in pages of hits.

The database ranks one window at a time: the newest 10,000 matches. Our own score ranks
the window's best hundred again, and the pages show them. Then come the next hundred, up
to `MAX_RANKED`. The rest of the window follows newest first, then the next window. So
a common word costs little more than a rare one, and the pages reach every match.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from sqlalchemy import Connection, select

from chatstore.db import is_sqlite, read_connection
from chatstore.db.prepared import Prepared
from chatstore.enums import Role, SearchPart, SearchSort
from chatstore.fulltext.positions import PLACES_OF_A_WORD
from chatstore.fulltext.query import Query, parse_query
from chatstore.fulltext.score import score_text
from chatstore.fulltext.snippets import Snippet, characters_each, cut_snippet
from chatstore.fulltext.words import INDEXED_CHARACTERS, WHOLE_BYTES, is_whole
from chatstore.models import ChatSession
from chatstore.store.filters import SessionFilters, find_rare_facet
from chatstore.store.json_rows import as_instant
from chatstore.store.search.criteria import BOUNDS, Bounds, Criteria, SearchPlace
from chatstore.store.search.plans import (
    as_uuid,
    find_by_keys,
    find_matches,
    narrow,
    read_texts,
    take_first_look,
)
from chatstore.store.search.rows import MatchRow
from chatstore.store.sessions import IS_OWNED, no_such_session, session_parameters

# If the filters reject a whole window, the search reads the next one at once. One page
# reads at most this many windows.
MAX_WINDOWS = 3
# A page checks at most this many characters of texts for a phrase, and ends there.
CHECKED_CHARACTERS = 5 * INDEXED_CHARACTERS

_EXISTS = Prepared(select(ChatSession.id).where(IS_OWNED))


@dataclass(frozen=True, kw_only=True)
class Search:
    """A request to search; `after` and `before` are exclusive bounds.

    A cursor is bound to these values and to the name of this class.
    """

    q: str
    filters: SessionFilters = SessionFilters()
    sort: SearchSort = SearchSort.RELEVANCE
    session_id: UUID | None = None
    role: Role | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A message, or a session found by its name, with None in the message's fields."""

    session_id: UUID
    session_name: str | None
    message_id: int | None
    seq: int | None
    role: str | None
    timestamp: datetime
    snippet: str
    matches: list[tuple[int, int]]
    score: float
    indexed_in_part: bool


@dataclass(frozen=True)
class HitPage:
    """Hits, and the place where the next page begins: None after the last page."""

    hits: list[Hit]
    next_place: SearchPlace | None


def search(
    wanted: Search,
    *,
    owner_id: str,
    limit: int,
    place: SearchPlace | None = None,
    bounds: Bounds = BOUNDS,
) -> HitPage:
    """Return up to `limit` hits from `place` on: sessions by name, then messages.

    A page before the last one may be shorter than `limit`, even empty. Raises NotFound
    if the owner has no session `session_id`.
    """
    query = parse_query(wanted.q)
    place = place or SearchPlace(SearchPart.NAMES)
    with read_connection() as connection:
        rare_facet = None
        if wanted.session_id is not None:
            _check_session(connection, wanted.session_id, owner_id)
        elif query.can_match:
            rare_facet = find_rare_facet(connection, wanted.filters, owner_id=owner_id)
        if not query.can_match:
            return HitPage([], None)
        criteria = Criteria(
            owner_id=owner_id,
            query=query,
            filters=wanted.filters,
            rare_facet=rare_facet,
            session_ids=(wanted.session_id,) if wanted.session_id else (),
            role=wanted.role,
            after=wanted.after,
            before=wanted.before,
            by_rank=wanted.sort is SearchSort.RELEVANCE,
            limit=min(limit, bounds.batch),
            sure_characters=_sure_characters(query),
            bounds=bounds,
        )
        for _ in range(MAX_WINDOWS):
            page = _search_window(connection, criteria, place)
            if page.hits or page.next_place is None:
                break
            place = page.next_place
        return page


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
        scores = _scores(rows, criteria.query)
        rows = sorted(rows, key=lambda row: (scores[row.key], row.key), reverse=True)
        size = min(criteria.limit, _checkable(rows[: criteria.limit], criteria))
        keys = tuple(row.key for row in rows)
        place = replace(place, ranked=(*place.ranked, *keys), unshown=keys[size:])
    else:
        size = _checkable(rows, criteria)
        if not place.is_exhausted or size < len(rows):
            place = replace(place, high=rows[size - 1].key, is_exhausted=False)
    rows = rows[:size]
    scores = scores or _scores(rows, criteria.query)
    hits = list(_hits(connection, rows, scores, criteria))
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
    scores = _scores(rows, criteria.query)
    return HitPage(list(_hits(connection, rows, scores, criteria)), following)


def _next_place(place: SearchPlace, criteria: Criteria) -> SearchPlace | None:
    if place.unshown or not place.is_exhausted:
        return replace(place, ranked=()) if place.is_exhausted else place
    if place.low and criteria.by_rank:
        return SearchPlace(place.part, high=place.low)
    return None


def _scores(rows: Sequence[MatchRow], query: Query) -> dict[int, float]:
    return {row.key: score_text(row.text, query) for row in rows}


def _hits(
    connection: Connection,
    rows: Sequence[MatchRow],
    scores: Mapping[int, float],
    criteria: Criteria,
) -> Iterator[Hit]:
    """Yield the hits of `rows`, without texts that lack a phrase of the query.

    A text is read beyond its beginning only if the beginning does not decide.
    """
    max_characters = characters_each(len(rows))
    ready: dict[int, tuple[Snippet, bool]] = {}
    further = []
    for row in rows:
        snippet = cut_snippet(row.text, criteria.query.terms, max_characters)
        if row.bytes <= len(row.text.encode()):
            if _holds(row.text, criteria):
                ready[row.key] = snippet, False
        elif _is_enough(row, snippet, criteria):
            ready[row.key] = snippet, False
        else:
            further.append(row.key)
    for key, text in read_texts(connection, further):
        if _holds(text, criteria):
            snippet = cut_snippet(text, criteria.query.terms, max_characters)
            ready[key] = snippet, not is_whole(text)
    for row in rows:
        if row.key in ready:
            yield _hit(row, *ready[row.key], scores[row.key])


def _holds(text: str, criteria: Criteria) -> bool:
    sure = criteria.sure_characters
    is_sure = sure is None or len(text) <= sure
    return is_sure or criteria.query.holds(text)


def _is_enough(row: MatchRow, snippet: Snippet, criteria: Criteria) -> bool:
    """Whether the rest of a text can change neither the hit nor its snippet."""
    is_shown = bool(snippet.matches) and snippet.text.endswith("…")
    return (
        is_shown
        and criteria.sure_characters is None
        and row.bytes <= WHOLE_BYTES  # a longer text may be indexed in part
    )


def _checkable(rows: Sequence[MatchRow], criteria: Criteria) -> int:
    """Return how many of the rows one page can check: at least one."""
    if criteria.sure_characters is None:
        return len(rows)
    sizes = accumulate(min(row.bytes, INDEXED_CHARACTERS) for row in rows)
    return max(1, sum(size <= CHECKED_CHARACTERS for size in sizes))


def _hit(row: MatchRow, snippet: Snippet, is_partly: bool, score: float) -> Hit:
    return Hit(
        session_id=as_uuid(row.session_id),
        session_name=row.session_name,
        message_id=row.message_id,
        seq=row.seq,
        role=row.role,
        timestamp=as_instant(row.timestamp),
        snippet=snippet.text,
        matches=snippet.matches,
        score=score,
        indexed_in_part=is_partly,
    )
