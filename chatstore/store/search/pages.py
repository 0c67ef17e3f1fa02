"""Finds an owner's sessions by name and messages by text, in pages of hits.

The database ranks one window at a time: the newest 10,000 matches. Our own score ranks
the window's best hundred again, and the pages show them. Then come the next hundred, up
to `MOST_TAKEN`. The rest of the window follows newest first, then the next window. So
a common word costs little more than a rare one, and the pages reach every match.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from sqlalchemy import Connection, select

from chatstore.db import read_connection
from chatstore.db.prepared import Prepared
from chatstore.enums import Archived, Role, SearchPart, SearchSort
from chatstore.fulltext.index_format import owner_scope, role_scope, session_scope
from chatstore.fulltext.positions import PLACES_OF_A_WORD
from chatstore.fulltext.query import Query, parse_query
from chatstore.fulltext.score import score_text
from chatstore.fulltext.snippets import Snippet, characters_each, cut_snippet
from chatstore.fulltext.words import INDEXED_CHARACTERS, WHOLE_BYTES, is_whole
from chatstore.models import ChatSession
from chatstore.store.filters import SessionFilters, find_rare_facet
from chatstore.store.json_rows import as_instant
from chatstore.store.search.plans import (
    BOUNDS,
    Best,
    Bounds,
    Found,
    Sample,
    Wanted,
    as_uuid,
    find_again,
    find_best,
    find_newest,
    look,
    read_texts,
)
from chatstore.store.sessions import IS_OWNED, no_such_session, session_parameters

# If the filters let at most this many sessions pass, the index query names these
# sessions. Otherwise the statement checks the session of each match.
FEW_SESSIONS = 100
# If the filters reject a whole window, the search reads the next one at once. One page
# reads at most this many windows.
MOST_WINDOWS = 3
# A page checks at most this many characters of texts for a phrase, and ends there.
CHECKED_CHARACTERS = 5 * INDEXED_CHARACTERS

_EXISTS = Prepared(select(ChatSession.id).where(IS_OWNED))


@dataclass(frozen=True, kw_only=True)
class Search:
    """A request to search; `after` and `before` are exclusive bounds."""

    q: str
    filters: SessionFilters = SessionFilters()
    sort: SearchSort = SearchSort.RELEVANCE
    session_id: UUID | None = None
    role: Role | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True)
class SearchPlace:
    """The place in a window of matches where a page ends.

    A window holds the matches with `low` <= key < `high`. `low` is None until it is
    known, and 0 in the last window. `taken` holds the keys of ranked matches, and
    `rest` those of them that are not shown yet, in order. `is_taken` says that the
    window has no further matches.
    """

    part: SearchPart
    high: int | None = None
    low: int | None = None
    is_taken: bool = False
    taken: tuple[int, ...] = ()
    rest: tuple[int, ...] = ()


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


@dataclass(frozen=True)
class _Asked:
    """A search with its parsed query, its owner, and what the database needs."""

    search: Search
    query: Query
    owner_id: str
    dialect_name: str
    rare_facet: int | None
    bounds: Bounds = BOUNDS

    @property
    def by_rank(self) -> bool:
        return self.search.sort is SearchSort.RELEVANCE

    @property
    def is_narrow(self) -> bool:
        """Whether the filters are likely to let few sessions pass."""
        filters = self.search.filters
        is_usual = filters == SessionFilters(archived=filters.archived)
        is_wide = is_usual and filters.archived is not Archived.YES
        return not is_wide and self.search.session_id is None

    @property
    def must_recheck(self) -> bool:
        """Whether a text may lack a phrase although the index finds it.

        PostgreSQL's index lacks some places of a word in a long text. The query of
        FTS5 shortens a phrase that repeats a word.
        """
        if self.dialect_name == "sqlite":
            return self.query.has_repeats
        return self.query.has_phrase


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
        dialect = connection.dialect.name
        asked = _Asked(wanted, query, owner_id, dialect, rare_facet, bounds)
        for _ in range(MOST_WINDOWS):
            page = _search(connection, asked, place, limit)
            if page.hits or page.next_place is None:
                break
            place = page.next_place
        return page


def _check_session(connection: Connection, session_id: UUID, owner_id: str) -> None:
    if not _EXISTS.rows(connection, session_parameters(session_id, owner_id)):
        raise no_such_session(session_id)


def _search(
    connection: Connection, asked: _Asked, place: SearchPlace, limit: int
) -> HitPage:
    limit = min(limit, asked.bounds.batch)
    if place.rest:
        return _shown_again(connection, asked, place, limit)
    in_names = place.part is SearchPart.NAMES
    first = look(
        connection,
        _wanted(asked, place, None, limit),
        by_rank=asked.by_rank and not _is_rest(place, asked),
        names=in_names and asked.search.role is None,
        most_sessions=FEW_SESSIONS + 1 if asked.is_narrow else None,
        sample=asked.search.session_id is None,
    )
    if asked.is_narrow and not first.session_ids:
        return HitPage([], None)
    hits: list[Hit] = []
    if in_names:
        page = _page(connection, asked, place, first.names, limit)
        place = SearchPlace(SearchPart.MESSAGES)
        if len(page.hits) == limit or page.next_place:
            return HitPage(page.hits, page.next_place or place)
        hits, limit = page.hits, limit - len(page.hits)
    is_few = asked.is_narrow and len(first.session_ids) <= FEW_SESSIONS
    wanted = _wanted(asked, place, first.session_ids if is_few else None, limit)
    if first.sample and first.sample.is_mostly_own and not wanted.is_few:
        # The join checks the owner anyway. If nearly all entries are the owner's, the
        # owner's scope costs more to look up than two words, so we drop the scope.
        wanted = replace(wanted, scopes=wanted.scopes[1:])
    sample = None if wanted.is_few else first.sample
    found = _find(connection, asked, place, wanted, sample)
    rest = _page(connection, asked, place, found, limit)
    return HitPage(hits + rest.hits, rest.next_place)


def _find(
    connection: Connection,
    asked: _Asked,
    place: SearchPlace,
    wanted: Wanted,
    sample: Sample | None,
) -> Best:
    if asked.by_rank and not _is_rest(place, asked):
        return find_best(connection, wanted, sample)
    rows = find_newest(connection, wanted, sample)
    size = wanted.count - 1
    return Best(rows[:size], place.low, has_more=len(rows) > size)


def _is_rest(place: SearchPlace, asked: _Asked) -> bool:
    """Whether the ranked part of a window is over; the rest comes newest first."""
    return len(place.taken) >= asked.bounds.most_taken


def _wanted(
    asked: _Asked, place: SearchPlace, few: list[UUID] | None, limit: int
) -> Wanted:
    wanted = asked.search
    if wanted.session_id is not None:
        few = [wanted.session_id]
    # The join checks the owner of these sessions.
    within = [*map(session_scope, few)] if few else [owner_scope(asked.owner_id)]
    roles = [role_scope(wanted.role)] if wanted.role else []
    size = asked.bounds.batch if asked.by_rank and not _is_rest(place, asked) else limit
    return Wanted(
        dialect_name=asked.dialect_name,
        owner_id=asked.owner_id,
        query=asked.query,
        scopes=[scopes for scopes in (within, roles) if scopes],
        filters=wanted.filters,
        rare_facet=asked.rare_facet,
        is_few=bool(few),
        is_narrow=asked.is_narrow and not few,
        after=wanted.after,
        before=wanted.before,
        low=place.low,
        high=place.high,
        taken=place.taken,
        count=size + 1,
        bounds=asked.bounds,
    )


def _page(
    connection: Connection, asked: _Asked, place: SearchPlace, found: Best, limit: int
) -> HitPage:
    """Return a page of the first hits in `found`."""
    place = replace(place, low=found.low, is_taken=not found.has_more)
    rows, scores = found.rows, {}
    if asked.by_rank and not _is_rest(place, asked):
        scores = _scores(rows, asked.query)
        rows = sorted(rows, key=lambda row: (scores[row.key], row.key), reverse=True)
        limit = min(limit, _checkable(rows[:limit], asked))
        place = replace(place, taken=(*place.taken, *(row.key for row in rows)))
        place = replace(place, rest=tuple(row.key for row in rows[limit:]))
    else:
        limit = _checkable(rows, asked)
        if found.has_more or limit < len(rows):
            place = replace(place, high=rows[limit - 1].key, is_taken=False)
    rows = rows[:limit]
    hits = list(_hits(connection, rows, scores or _scores(rows, asked.query), asked))
    return HitPage(hits, _next_place(place, asked))


def _shown_again(
    connection: Connection, asked: _Asked, place: SearchPlace, limit: int
) -> HitPage:
    """Return a page of matches that were ranked for an earlier page and not shown."""
    wanted = _wanted(asked, place, None, limit)
    in_names = place.part is SearchPart.NAMES
    rows = find_again(connection, wanted, place.rest[:limit], names=in_names)
    checkable = _checkable(rows, asked)
    if checkable < len(rows):
        limit = place.rest.index(rows[checkable].key)
        rows = rows[:checkable]
    following = _next_place(replace(place, rest=place.rest[limit:]), asked)
    if following is None and in_names:
        following = SearchPlace(SearchPart.MESSAGES)
    scores = _scores(rows, asked.query)
    return HitPage(list(_hits(connection, rows, scores, asked)), following)


def _next_place(place: SearchPlace, asked: _Asked) -> SearchPlace | None:
    if place.rest or not place.is_taken:
        return replace(place, taken=()) if place.is_taken else place
    if place.low and asked.by_rank:
        return SearchPlace(place.part, high=place.low)
    return None


def _scores(rows: Sequence[Found], query: Query) -> dict[int, float]:
    return {row.key: score_text(row.text, query) for row in rows}


def _hits(
    connection: Connection,
    rows: Sequence[Found],
    scores: Mapping[int, float],
    asked: _Asked,
) -> Iterator[Hit]:
    """Yield the hits of `rows`, without texts that lack a phrase of the query.

    A text is read beyond its beginning only if the beginning does not decide.
    """
    most = characters_each(len(rows))
    ready: dict[int, tuple[Snippet, bool]] = {}
    further = []
    for row in rows:
        snippet = cut_snippet(row.text, asked.query.terms, most)
        if row.bytes <= len(row.text.encode()):
            if _holds(row.text, asked):
                ready[row.key] = snippet, False
        elif _is_enough(row, snippet, asked):
            ready[row.key] = snippet, False
        else:
            further.append(row.key)
    for key, text in read_texts(connection, further):
        if _holds(text, asked):
            snippet = cut_snippet(text, asked.query.terms, most)
            ready[key] = snippet, not is_whole(text)
    for row in rows:
        if row.key in ready:
            yield _hit(row, *ready[row.key], scores[row.key])


def _holds(text: str, asked: _Asked) -> bool:
    has_all_places = asked.dialect_name != "sqlite" and len(text) <= PLACES_OF_A_WORD
    is_sure = not asked.must_recheck or has_all_places
    return is_sure or asked.query.holds(text)


def _is_enough(row: Found, snippet: Snippet, asked: _Asked) -> bool:
    """Whether the rest of a text can change neither the hit nor its snippet."""
    is_shown = bool(snippet.matches) and snippet.text.endswith("…")
    return (
        is_shown
        and not asked.must_recheck
        and row.bytes <= WHOLE_BYTES  # a longer text may be indexed in part
    )


def _checkable(rows: Sequence[Found], asked: _Asked) -> int:
    """Return how many of the rows one page can check: at least one."""
    if not asked.must_recheck:
        return len(rows)
    sizes = accumulate(min(row.bytes, INDEXED_CHARACTERS) for row in rows)
    return max(1, sum(size <= CHECKED_CHARACTERS for size in sizes))


def _hit(row: Found, snippet: Snippet, is_partly: bool, score: float) -> Hit:
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
