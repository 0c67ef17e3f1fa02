"""Finds sessions by their names and messages by their text, within one owner's.

The database ranks the newest 10,000 matches, a window. The best hundred of them are
ranked once more, by our own score, and shown; then the next hundred. What is left of a
window comes newest first, and then the next window. So a common word costs hardly more
than a rare one, and every match is reached in the end.
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

# Sessions up to so many are asked for by the index; if the filters let more pass, each
# match is asked for its session.
FEW_SESSIONS = 100
# If the filters let nothing of a window pass, the next one is looked into at once, up
# to so many for one page.
MOST_WINDOWS = 3
# Characters of texts that are checked for a phrase for one page, which ends there.
CHECKED_CHARACTERS = 5 * INDEXED_CHARACTERS

_EXISTS = Prepared(select(ChatSession.id).where(IS_OWNED))


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched for, and where; `after` and `before` are not included."""

    q: str
    filters: SessionFilters = SessionFilters()
    sort: SearchSort = SearchSort.RELEVANCE
    session_id: UUID | None = None
    role: Role | None = None
    after: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True)
class SearchPlace:
    """Where a page ends: in which window, and what was taken out of it before.

    A window holds the matches whose key is from `low` to before `high`: `low` is None
    until it is known, and 0 for the last window. `taken` are the keys of those that
    were ranked, and `rest` of those among them that are shown next, in their order.
    `is_taken` says that all of the window were.
    """

    part: SearchPart
    high: int | None = None
    low: int | None = None
    is_taken: bool = False
    taken: tuple[int, ...] = ()
    rest: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A message; or a session, by its name: then without what only messages have."""

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
    """Some hits, and where the next page begins; None after the last one."""

    hits: list[Hit]
    next_place: SearchPlace | None


@dataclass(frozen=True)
class _Asked:
    """A search, its query as it was understood, and where it is asked."""

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
        """Whether the filters may well let few sessions pass."""
        filters = self.search.filters
        is_usual = filters == SessionFilters(archived=filters.archived)
        is_wide = is_usual and filters.archived is not Archived.YES
        return not is_wide and self.search.session_id is None

    @property
    def must_recheck(self) -> bool:
        """Whether a text may lack a phrase although the index finds it.

        PostgreSQL's does not know all places of a word; FTS5 is not asked for all of a
        phrase that repeats a word.
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

    A page may be shorter than `limit`, and even empty, and not be the last. Raises
    NotFound for a `session_id` of no session of the owner.
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
        # The join sees whose they are. To look up nearly all entries in the index, too,
        # takes longer than to find two words.
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
    """Whether as many of the window were ranked as are; the others follow by age."""
    return len(place.taken) >= asked.bounds.most_taken


def _wanted(
    asked: _Asked, place: SearchPlace, few: list[UUID] | None, limit: int
) -> Wanted:
    wanted = asked.search
    if wanted.session_id is not None:
        few = [wanted.session_id]
    # Whose sessions these are is for the join to see.
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
    """Return the first hits of what was found, and where the next page begins."""
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
    """Return what was ranked with the page before, and not shown yet."""
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
    """Yield what is shown of rows, without those that do not hold a phrase after all.

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
        and row.bytes <= WHOLE_BYTES  # or it may be indexed in part
    )


def _checkable(rows: Sequence[Found], asked: _Asked) -> int:
    """Return how many of the rows one page can check: all, or one at least."""
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
