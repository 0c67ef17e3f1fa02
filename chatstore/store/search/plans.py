"""Chooses and runs the statements of a search; `statements` has the SQL.

                      Criteria, SearchPlace          made by pages.search
                               |
                        take_first_look              one round trip, no messages:
                               |                     names, sessions, a sample
                               v
                            narrow                   name the few sessions that match
                               |                     the filters, or drop the owner's
                               v                     scope, in the index query
                         find_matches
        by relevance           |            newest first, and
        within a window        |            the rest of a window
              +----------------+----------------+
              v                                 v
       _rows_of_window                     _find_newest
   do bounds.dense_window or         do 2 or more of the sampled
   more sampled entries match?       entries match, or are few
     yes |             | no          keys left in the window?
         v             |               yes |             | no
   WALK from the       |                   v             |
   newest entries, or  |             WALK from the       |
   TAKE A RANGE out of |             newest entries      |
   the index, whichever|             prepare_newest_     |
   is cheaper          |             of_walk             |
   prepare_best_of_    |                   |             |
   walk, …_of_range    |                   |             |
         |             v                   |             v
         |   TAKE ALL matches              |   TAKE ALL matches
         +-> out of the index              +-> out of the index
    if it    prepare_best            if it     prepare_newest
    found too few                    found too few

On PostgreSQL a walk is fast for common words, and taking all matches is fast for rare
words. Its planner does not know how often words occur together, and some of its walks
took more than a second. So a sample of the entries decides, and a walk is bounded.

A walk compares each entry, also those that do not match. For a range of the newest keys
PostgreSQL combines two bitmaps, of the range and of all matches, so it reads matching
entries only. The sample tells how long the range must be. It also tells whether the
bitmap of all matches costs more than the walk.

SQLite takes all matches: FTS5 yields them newest first, so its sample counts none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil, sqrt
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection

from chatstore.db import is_sqlite
from chatstore.db.prepared import Prepared
from chatstore.enums import SearchPart
from chatstore.fulltext.words import INDEXED_CHARACTERS
from chatstore.store.json_rows import as_uuid
from chatstore.store.search import statements
from chatstore.store.search.criteria import SAMPLED, Criteria, SearchPlace, Shape
from chatstore.store.search.rows import MatchRow

# If the filters let at most this many sessions pass, the index query names these
# sessions. Otherwise the statement checks the session of each match.
FEW_SESSIONS = 100
# A walk for the newest hundred matches pays if 2 of the sampled entries match.
_DENSE = 2
# A range allows for this many standard errors of the sample, so that 95 of 100 ranges
# hold their window.
_STANDARD_ERRORS = 1.65
# Each text may be long, so only this many are read at a time.
_TEXTS_AT_ONCE = 4

Rows = list[tuple[Any, ...]]


class FirstLook(NamedTuple):
    """What the database told before it read any messages.

    `names` are sessions found by name, and `names_place` is their place. `session_ids`
    are up to `FEW_SESSIONS + 1` sessions that match the filters. The sample has the
    `newest` key (None without a sample), the number of `matching` entries, and tells
    whether most messages are the owner's.
    """

    names: list[MatchRow]
    names_place: SearchPlace
    session_ids: list[UUID]
    newest: int | None = None
    matching: int = 0
    is_mostly_own: bool = False


def take_first_look(
    connection: Connection, criteria: Criteria, place: SearchPlace
) -> FirstLook:
    """Return names, sessions and a sample; runs no statement if it needs none.

    It asks for names in the part of names, if they can be hits. It asks for sessions if
    the criteria are narrow, and for a sample unless sessions are given.
    """
    names = place.part is SearchPart.NAMES and criteria.has_names
    sessions, sample = criteria.is_narrow, not criteria.session_ids
    found: dict[str, Rows] = {"name": [], "session": [], "sample": []}
    if names or sessions or sample:
        shape = criteria.shape(place)
        prepared = statements.prepare_first_look(
            shape, names=names, sessions=sessions, sample=sample
        )
        parameters = {
            **criteria.parameters(place),
            "max_sessions": FEW_SESSIONS + 1 if sessions else None,
            "max_sampled": None if shape.by_rank else _DENSE,
        }
        for kind, *row in prepared.rows(connection, parameters):
            found[kind].append(tuple(row))
    session_ids = [as_uuid(row[5]) for row in found["session"]]
    look = FirstLook(*_best_of(found["name"], criteria, place), session_ids)
    for newest, matching, own, *_ in found["sample"]:
        return look._replace(
            newest=newest or 0,
            matching=int(matching),
            is_mostly_own=own >= statements.PROBES - 1,
        )
    return look


def narrow(criteria: Criteria, look: FirstLook) -> Criteria:
    """Return the criteria for messages, with the scopes that cost the index least."""
    if criteria.session_ids:
        return criteria
    if criteria.is_narrow and len(look.session_ids) <= FEW_SESSIONS:
        return replace(criteria, session_ids=tuple(look.session_ids))
    # The join checks the owner anyway. If nearly all entries are the owner's, the
    # owner's scope costs more to look up than two words, so we drop the scope.
    return replace(criteria, has_owner_scope=not look.is_mostly_own)


def find_matches(
    connection: Connection, criteria: Criteria, place: SearchPlace, look: FirstLook
) -> tuple[list[MatchRow], SearchPlace]:
    """Return the next matching messages, and `place` with the window's low and end.

    If `criteria.ranks(place)`, these are the best of the window in no order, otherwise
    the newest in order, or the first if `criteria.by_seq`.
    """
    if not criteria.ranks(place):
        return _find_newest(connection, criteria, place, look)
    rows = _rows_of_window(connection, criteria, place, look)
    return _best_of(rows, criteria, place)


class FoundSession(NamedTuple):
    """The key of a match, and how many hits of its session the window has."""

    key: int
    session_id: UUID
    hits: int


def find_sessions(
    connection: Connection,
    criteria: Criteria,
    place: SearchPlace,
    look: FirstLook,
    *,
    per_session: int,
    limit: int,
) -> tuple[list[FoundSession], int]:
    """Return up to `per_session` matches of each session, best first, and the low.

    These are matches of one window, whose lowest key is `low`, 0 if no match is below.
    `criteria.group_sort` says which matches and sessions are the best. Returns at most
    `limit` matches.
    """
    more = {"per_session": per_session, "limit": limit}
    rows = _rows_of_window(connection, criteria, place, look, more)
    found = [row for row in rows if row[2] is not None]
    found.sort(key=lambda row: (row[1], row[2]), reverse=True)
    return [
        FoundSession(key, as_uuid(session_id), hits)
        for _, _, key, session_id, hits in found
    ], _low_of(rows)


def _rows_of_window(
    connection: Connection,
    criteria: Criteria,
    place: SearchPlace,
    look: FirstLook,
    more: Mapping[str, Any] | None = None,
) -> Rows:
    """Return the rows (low, rank, …) of the best matches of the window.

    A window holds the newest `bounds.window` matches below `high`, or those between
    `low` and `high` when both are given. The filters may let few of them pass.
    """
    start = place
    if place.high is None and look.newest is not None and not criteria.session_ids:
        start = replace(place, high=look.newest + 1)
    shape = criteria.shape(start)
    parameters = {**criteria.parameters(start), **(more or {})}
    if _is_dense(criteria, look, criteria.bounds.dense_window):
        for prepare, floor in _bounded_ways(criteria, start, look, shape.walk):
            prepared = prepare(shape)
            rows = prepared.rows(connection, {**parameters, "floor": floor})
            if floor == (start.low or 1) or _low_of(rows):
                return rows
    return statements.prepare_best(shape).rows(connection, parameters)


def _bounded_ways(
    criteria: Criteria, place: SearchPlace, look: FirstLook, walk: int
) -> Iterator[tuple[Callable[[Shape], Prepared], int]]:
    """Yield up to two ways to find a window of dense matches, as (prepare, floor).

    Each looks at the keys with `floor <= key < place.high`, at most `walk` of them, so
    it may find too few. Yields nothing if the window may have more keys.
    """
    if place.high is None:
        return
    bounds, first = criteria.bounds, place.low or 1
    last = max(first, place.high - walk)
    if place.low is not None and last > first:
        return
    # The standard error of the number of sampled matches is about its square root.
    surely = look.matching - _STANDARD_ERRORS * sqrt(look.matching)
    length = ceil(bounds.window * SAMPLED / max(surely, 1))
    listed = place.high * look.matching // SAMPLED
    if listed > bounds.keys_per_step * length:
        yield statements.prepare_best_of_walk, last
        return
    floor = last if place.low is not None else max(last, place.high - length)
    yield statements.prepare_best_of_range, floor
    if floor > last:
        yield statements.prepare_best_of_range, max(last, place.high - 2 * length)


def _find_newest(
    connection: Connection, criteria: Criteria, place: SearchPlace, look: FirstLook
) -> tuple[list[MatchRow], SearchPlace]:
    shape, parameters = criteria.shape(place), criteria.parameters(place)
    size = criteria.size(place)
    is_short = (
        not is_sqlite()
        and place.low is not None
        and place.high is not None
        and place.high - place.low <= shape.walk
    )
    rows: Rows = []
    if is_short or _is_dense(criteria, look, _DENSE):
        walk = statements.prepare_newest_of_walk(shape)
        rows = walk.rows(connection, parameters)
    if not is_short and len(rows) <= size:
        rows = statements.prepare_newest(shape).rows(connection, parameters)
    found = [MatchRow(*row) for row in rows[:size]]
    return found, replace(place, is_exhausted=len(rows) <= size)


def _is_dense(criteria: Criteria, look: FirstLook, needed: int) -> bool:
    """Whether a walk is likely to meet enough matches; a sample ignores sessions."""
    return not criteria.session_ids and look.matching >= needed


def _best_of(
    rows: Rows, criteria: Criteria, place: SearchPlace
) -> tuple[list[MatchRow], SearchPlace]:
    """Return the best of rows (low, rank, *MatchRow); a row may have only `low`."""
    found = [row for row in rows if row[2] is not None]
    found.sort(key=lambda row: (row[1], row[2]), reverse=True)
    size = criteria.size(place)
    best = [MatchRow(*row[2:]) for row in found[:size]]
    return best, replace(place, low=_low_of(rows), is_exhausted=len(found) <= size)


def _low_of(rows: Rows) -> int:
    low: int | None = next((row[0] for row in rows), None)
    return low or 0


def find_by_keys(
    connection: Connection, criteria: Criteria, place: SearchPlace, keys: Sequence[int]
) -> list[MatchRow]:
    """Return rows with these keys that match the filters, in the order of `keys`."""
    if not keys:
        return []
    prepared = statements.prepare_by_keys(
        criteria.shape(place), names=place.part is SearchPart.NAMES
    )
    parameters = criteria.parameters(place) | {"keys": orjson.dumps(keys).decode()}
    rows = {row[0]: MatchRow(*row) for row in prepared.rows(connection, parameters)}
    return [rows[key] for key in keys if key in rows]


def read_texts(
    connection: Connection, keys: Sequence[int]
) -> Iterator[tuple[int, str]]:
    """Yield (key, text) of messages, up to one character past the indexed part.

    A few are read at a time, so that a page of long messages is never in memory whole.
    """
    prepared = statements.prepare_texts()
    for first in range(0, len(keys), _TEXTS_AT_ONCE):
        some = orjson.dumps(keys[first : first + _TEXTS_AT_ONCE]).decode()
        parameters = {"keys": some, "length": INDEXED_CHARACTERS + 1}
        yield from prepared.rows(connection, parameters)
