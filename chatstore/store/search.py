"""Finds sessions by their names and messages by their text, within one owner's.

Matches are taken from the index newest first, a window at a time, and each window is
ranked by itself: a word that is in every other message costs no more than a rare one,
and every match is reached in the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from chatstore.db import read_connection
from chatstore.entries import owner_scope, role_scope, session_scope
from chatstore.enums import Archived, Role, SearchPart, SearchSort
from chatstore.layout import PLACES_OF_A_WORD
from chatstore.queries import Query, parse_query
from chatstore.ranking import score_text
from chatstore.snippets import characters_each, cut_snippet
from chatstore.store.filters import SessionFilters, find_rare_facet
from chatstore.store.matches import Found, Wanted, as_uuid, find_messages, look
from chatstore.store.sent import as_instant

# A window is read and ranked anew for each of its pages: of a word in 800 of a million
# messages, 200 matches took 12 ms of CPU on SQLite, and 100 take 7.
WINDOW = 100
# Sessions up to so many are asked for by the index; if the filters let more pass, each
# match is asked for its session.
FEW_SESSIONS = 100


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
    """Where a page ends: in which window, and after which hit there.

    A window holds the matches whose key is from `low` to before `high`; a `low` of
    None stands for a window of which nothing was shown yet.
    """

    part: SearchPart
    high: int | None = None
    low: int | None = None
    is_last: bool = False
    score: float = 0.0
    key: int = 0


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

    @property
    def by_relevance(self) -> bool:
        return self.search.sort is SearchSort.RELEVANCE

    @property
    def is_narrow(self) -> bool:
        """Whether the filters may well let few sessions pass."""
        filters = self.search.filters
        is_usual = filters == SessionFilters(archived=filters.archived)
        return not is_usual or filters.archived is Archived.YES


@dataclass(frozen=True)
class _Match:
    row: Found
    score: float
    rank: tuple[float, int]


def search(
    wanted: Search, *, owner_id: str, limit: int, place: SearchPlace | None = None
) -> HitPage:
    """Return up to `limit` hits from `place` on: sessions by name, then messages.

    A page never goes on into another window: it may be shorter than `limit`, and not
    be the last.
    """
    query = parse_query(wanted.q)
    if not query.can_match:
        return HitPage([], None)
    with read_connection() as connection:
        asked = _Asked(
            wanted,
            query,
            owner_id,
            connection.dialect.name,
            find_rare_facet(connection, wanted.filters, owner_id=owner_id),
        )
        return _search(connection, asked, place or SearchPlace(SearchPart.NAMES), limit)


def _search(
    connection: Connection, asked: _Asked, place: SearchPlace, limit: int
) -> HitPage:
    in_names = place.part is SearchPart.NAMES
    is_narrow = asked.is_narrow and asked.search.session_id is None
    first = look(
        connection,
        _wanted(asked, place, None, limit),
        names=in_names and asked.search.role is None,
        most_sessions=FEW_SESSIONS + 1 if is_narrow else None,
    )
    few = first.session_ids
    if is_narrow and not few:
        return HitPage([], None)
    page = HitPage([], None)
    if in_names:
        page = _page(first.names, asked, place, limit=limit)
        place = SearchPlace(SearchPart.MESSAGES)
        if len(page.hits) == limit or page.next_place:
            return HitPage(page.hits, page.next_place or place)
        limit -= len(page.hits)
    is_few = is_narrow and len(few) <= FEW_SESSIONS
    messages = _wanted(asked, place, few if is_few else None, limit)
    if first.is_mostly_own:
        # The join sees whose they are; to ask the index for nearly all entries, too,
        # takes longer than to find two words.
        messages = replace(messages, scopes=messages.scopes[1:])
    rows = find_messages(connection, messages, sample=first.sample)
    rest = _page(rows, asked, place, limit=limit)
    return HitPage(page.hits + rest.hits, rest.next_place)


def _wanted(
    asked: _Asked, place: SearchPlace, few: list[UUID] | None, limit: int
) -> Wanted:
    wanted = asked.search
    if wanted.session_id is not None:
        few = [wanted.session_id]
    # Whose sessions these are is for the join to see.
    within = [*map(session_scope, few)] if few else [owner_scope(asked.owner_id)]
    roles = [role_scope(wanted.role)] if wanted.role else []
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
        count=_window_size(asked, limit) + 1,
    )


def _window_size(asked: _Asked, limit: int) -> int:
    # What is not ranked is read only as far as it is shown.
    return WINDOW if asked.by_relevance else min(limit, WINDOW)


def _page(
    rows: Sequence[Found], asked: _Asked, place: SearchPlace, *, limit: int
) -> HitPage:
    """Return the hits among `rows` of one window that come after `place`."""
    size = _window_size(asked, limit)
    window = replace(place, is_last=place.is_last or len(rows) <= size)
    if place.low is None and rows:
        high, low = place.high or rows[0].key + 1, rows[:size][-1].key
        window = replace(window, high=high, low=low)
    matches = sorted(
        (_match(row, asked) for row in rows[:size] if _holds(row, asked)),
        key=lambda match: match.rank,
        reverse=True,
    )
    if place.low is not None:
        shown = (place.score, place.key)
        window = replace(window, is_last=place.is_last)
        matches = [match for match in matches if match.rank < shown]
    page = matches[:limit]
    most = characters_each(len(page))
    hits = [_hit(match, asked.query, most) for match in page]
    if len(matches) > limit:
        score, key = page[-1].rank
        return HitPage(hits, replace(window, score=score, key=key))
    if window.is_last:
        return HitPage(hits, None)
    return HitPage(hits, SearchPlace(place.part, high=window.low))


def _holds(row: Found, asked: _Asked) -> bool:
    # A tsvector may lack places of such a text, and then has words only.
    is_sure = asked.dialect_name == "sqlite" or len(row.text) <= PLACES_OF_A_WORD
    return is_sure or not asked.query.has_phrase or asked.query.holds(row.text)


def _match(row: Found, asked: _Asked) -> _Match:
    score = score_text(row.text, asked.query)
    return _Match(row, score, (score if asked.by_relevance else 0.0, row.key))


def _hit(match: _Match, query: Query, most: int) -> Hit:
    row, snippet = match.row, cut_snippet(match.row.text, query.terms, most)
    return Hit(
        session_id=as_uuid(row.session_id),
        session_name=row.session_name,
        message_id=row.message_id,
        seq=row.seq,
        role=row.role,
        timestamp=as_instant(row.timestamp),
        snippet=snippet.text,
        matches=snippet.matches,
        score=match.score,
    )
