"""Finds hits under their sessions, in pages of groups; the best session comes first.

The sessions are those of one window of matches, see `pages`. The first page ranks them,
and the cursor holds those that no page has shown yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection

from chatstore.db import read_connection
from chatstore.enums import SearchPart, SearchSort
from chatstore.store.json_rows import as_uuid
from chatstore.store.search.counts import Total, count_hits, find_doubtful
from chatstore.store.search.criteria import BOUNDS, Bounds, Criteria, SearchPlace
from chatstore.store.search.hits import Hit, make_hits, scores_of
from chatstore.store.search.pages import Search, criteria_of
from chatstore.store.search.plans import (
    FirstLook,
    FoundSession,
    find_by_keys,
    find_sessions,
    narrow,
    take_first_look,
)
from chatstore.store.search.rows import MatchRow

_NAMES, _MESSAGES = SearchPlace(SearchPart.NAMES), SearchPlace(SearchPart.MESSAGES)


@dataclass(frozen=True, kw_only=True)
class Group:
    """A session with its best hits, and the number of its hits.

    If `count_is_exact` is false, it has at least `count` hits.
    """

    session_id: UUID
    session_name: str | None
    count: int
    count_is_exact: bool
    hits: list[Hit]


@dataclass(frozen=True)
class GroupPlace:
    """The lowest key of the window, and the sessions to show from here on, in order."""

    low: int
    sessions: tuple[UUID, ...]


@dataclass(frozen=True)
class GroupPage:
    """Groups, and the place where the next page begins: None after the last page.

    `total` is the number of hits in all sessions, if it was asked for.
    """

    groups: list[Group]
    next_place: GroupPlace | None
    total: Total | None = None


def search_groups(
    wanted: Search,
    *,
    owner_id: str,
    limit: int,
    per_session: int,
    place: GroupPlace | None = None,
    counts: bool = False,
    bounds: Bounds = BOUNDS,
) -> GroupPage:
    """Return up to `limit` sessions from `place` on, each with its best hits.

    A session has up to `per_session` hits. Sessions with a matching name come first. A
    page has at most `bounds.batch` hits, so it may be shorter than `limit`, and all
    pages have at most `bounds.batch` sessions. Raises NotFound if the owner has no
    session `session_id`.
    """
    with read_connection() as connection:
        criteria = criteria_of(connection, wanted, owner_id, bounds.batch, bounds)
        if criteria is None:
            return GroupPage([], None, Total(0, is_exact=True) if counts else None)
        total = count_hits(connection, criteria) if counts else None
        # Windows are ranked, whatever the order of the sessions in them.
        criteria = replace(criteria, by_rank=True)
        if place is None:
            place = _rank_sessions(connection, criteria, wanted.sort)
        size = max(1, min(limit, bounds.batch // per_session))
        shown = GroupPlace(place.low, place.sessions[:size])
        groups = []
        if shown.sessions:
            groups = _groups(connection, criteria, wanted.sort, shown, per_session)
        rest = GroupPlace(place.low, place.sessions[size:])
        return GroupPage(groups, rest if rest.sessions else None, total)


def _rank_sessions(
    connection: Connection, criteria: Criteria, sort: SearchSort
) -> GroupPlace:
    """Return the best sessions of the newest window."""
    look = take_first_look(connection, criteria, _NAMES)
    if criteria.is_narrow and not look.session_ids:
        return GroupPlace(0, ())
    narrowed = narrow(criteria, look)
    found, low, _ = _find(connection, narrowed, sort, look, _MESSAGES, 1)
    keys = [each.key for each in found]
    rows = find_by_keys(connection, criteria, _MESSAGES, keys)
    names = _in_order(look.names, criteria, sort)
    messages = _in_order(rows, criteria, sort)
    sessions = dict.fromkeys(as_uuid(row.session_id) for row in [*names, *messages])
    return GroupPlace(low, tuple(sessions)[: criteria.bounds.batch])


def _find(
    connection: Connection,
    criteria: Criteria,
    sort: SearchSort,
    look: FirstLook,
    place: SearchPlace,
    per_session: int,
) -> tuple[list[FoundSession], int, bool]:
    """Return matches, the window's low, and whether all doubtful texts were checked."""
    doubtful = find_doubtful(connection, criteria, SearchPart.MESSAGES)
    found, low = find_sessions(
        connection,
        replace(criteria, group_sort=sort),
        replace(place, ranked=doubtful.keys),
        look,
        per_session=per_session,
        limit=criteria.bounds.batch,
    )
    return found, low, not doubtful.has_unchecked


def _in_order(
    rows: Sequence[MatchRow], criteria: Criteria, sort: SearchSort
) -> list[MatchRow]:
    if sort is SearchSort.NEWEST:
        return sorted(rows, key=lambda row: row.key, reverse=True)
    scores = scores_of(rows, criteria.query)
    return sorted(rows, key=lambda row: (scores[row.key], row.key), reverse=True)


def _groups(
    connection: Connection,
    criteria: Criteria,
    sort: SearchSort,
    place: GroupPlace,
    per_session: int,
) -> list[Group]:
    """Return the sessions of a page with their hits, without those that have none."""
    criteria = replace(criteria, session_ids=place.sessions)
    look = take_first_look(connection, criteria, _NAMES)
    window = replace(_MESSAGES, low=place.low)
    found, _, is_checked = _find(connection, criteria, sort, look, window, per_session)
    keys = [each.key for each in found]
    rows = find_by_keys(connection, criteria, _MESSAGES, keys)
    messages = _in_order(rows, criteria, sort)
    names = list(_hits(connection, look.names, criteria))
    hits = [*names, *_hits(connection, messages, criteria)]
    counts: dict[UUID, int] = {each.session_id: each.hits for each in found}
    for name in names:
        counts[name.session_id] = counts.get(name.session_id, 0) + 1
    is_exact = is_checked and not place.low
    groups = []
    for session_id in place.sessions:
        own = [hit for hit in hits if hit.session_id == session_id][:per_session]
        if own:
            groups.append(
                Group(
                    session_id=session_id,
                    session_name=own[0].session_name,
                    count=counts[session_id],
                    count_is_exact=is_exact,
                    hits=own,
                )
            )
    return groups


def _hits(
    connection: Connection, rows: Sequence[MatchRow], criteria: Criteria
) -> list[Hit]:
    scores: Mapping[int, float] = scores_of(rows, criteria.query)
    return list(make_hits(connection, rows, scores, criteria))
