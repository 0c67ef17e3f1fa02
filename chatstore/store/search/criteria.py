"""The values of one search: criteria, place, bounds and shape; no SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from chatstore.db import is_sqlite
from chatstore.enums import Archived, Role, SearchPart, SearchSort
from chatstore.fulltext.index_format import (
    any_tsquery,
    fts5_query,
    owner_scope,
    role_scope,
    session_scope,
    tsquery,
)
from chatstore.fulltext.query import Query
from chatstore.store.filters import SessionFilters

# The database ranks this many of the newest matches at a time: a window.
WINDOW = 10_000
# The number of newest keys that a walk reads: for a page of the newest matches, and for
# a window of matches to rank.
_NEWEST_WALK, _BEST_WALK = 30_000, 250_000
# Most entries with all words of a phrase lack the phrase, so a longer walk pays.
_LONGER = 3
# The number of entries in a sample.
SAMPLED = 300
# The newest _BEST_WALK keys are likely to hold a window if the share
# WINDOW / _BEST_WALK of the sampled entries matches, and 5 more for chance.
_DENSE_WINDOW = SAMPLED * WINDOW // _BEST_WALK + 5
# A step of a walk costs as much as to take this many keys out of the index.
_KEYS_PER_STEP = 4
# Our own score ranks this many of the best matches at a time.
BATCH = 100
# The cursor holds the keys of ranked matches, so at most this many of a window are
# ranked. The others come newest first.
MAX_RANKED = 500


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of one search, on matches, on the keys of a walk, and on samples.

    `keys_per_step` is the cost of one step of a walk, in keys taken out of the index.
    """

    window: int = WINDOW
    newest_walk: int = _NEWEST_WALK
    best_walk: int = _BEST_WALK
    dense_window: int = _DENSE_WINDOW
    keys_per_step: int = _KEYS_PER_STEP
    batch: int = BATCH
    max_ranked: int = MAX_RANKED


BOUNDS = Bounds()


@dataclass(frozen=True)
class SearchPlace:
    """The place in a window of matches where a page ends.

    Cursors hold the values in this order, so the order is part of their format. A
    window holds the matches with `low` <= key < `high`. `low` is None until it is
    known, and 0 in the last window. `ranked` holds the keys of ranked matches, and
    `unshown` those of them that no page has shown yet, in order. `is_exhausted` says
    that the window has no further matches.
    """

    part: SearchPart
    high: int | None = None
    low: int | None = None
    is_exhausted: bool = False
    ranked: tuple[int, ...] = ()
    unshown: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the SQL of a search depends on; equal shapes share a statement."""

    filters: SessionFilters
    rare_facet: int | None
    is_narrow: bool
    by_rank: bool
    walk: int
    has_after: bool
    has_before: bool
    has_low: bool
    has_high: bool
    has_ranked: bool
    by_seq: bool = False
    group_sort: SearchSort | None = None


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """What one search asks for; `pages.search` creates it and hands it down.

    `session_ids` are the only sessions to search in. If it is empty, the search is
    within all sessions of the owner. Without `has_owner_scope` only the join with the
    sessions checks the owner, not the index. `after` and `before` are exclusive bounds.
    The index is right about phrases in texts of up to `sure_characters`, and in all
    texts if that is None. With `by_seq` the matches of a session come in the order of
    their seq. With `group_sort` the sessions of a window are sought, in this order.
    """

    owner_id: str
    query: Query
    filters: SessionFilters
    rare_facet: int | None
    session_ids: tuple[UUID, ...]
    role: Role | None
    after: datetime | None
    before: datetime | None
    by_rank: bool
    limit: int
    sure_characters: int | None
    has_owner_scope: bool = True
    bounds: Bounds = BOUNDS
    by_seq: bool = False
    group_sort: SearchSort | None = None

    @property
    def has_names(self) -> bool:
        """Whether names can be hits; they have neither role nor seq."""
        return self.role is None and not self.by_seq

    @property
    def is_narrow(self) -> bool:
        """Whether the filters are likely to let few sessions pass."""
        is_usual = self.filters == SessionFilters(archived=self.filters.archived)
        is_wide = is_usual and self.filters.archived is not Archived.YES
        return not is_wide and not self.session_ids

    @property
    def scopes(self) -> list[Sequence[str]]:
        """The scopes of the index query; an entry must have one of each list."""
        scopes: list[Sequence[str]] = []
        if self.session_ids:  # the join checks the owner of these sessions
            scopes.append([*map(session_scope, self.session_ids)])
        elif self.has_owner_scope:
            scopes.append([owner_scope(self.owner_id)])
        if self.role:
            scopes.append([role_scope(self.role)])
        return scopes

    def ranks(self, place: SearchPlace) -> bool:
        """Whether the next matches are the best ones, not the newest ones.

        In a search by relevance, the newest come after the ranked part of a window.
        """
        return self.by_rank and len(place.ranked) < self.bounds.max_ranked

    def size(self, place: SearchPlace) -> int:
        """Return how many matches to find: a batch to rank, or one page."""
        return self.bounds.batch if self.ranks(place) else self.limit

    def shape(self, place: SearchPlace) -> Shape:
        """Return the shape, for which a statement is prepared."""
        by_rank = self.ranks(place)
        walk = self.bounds.best_walk if by_rank else self.bounds.newest_walk
        return Shape(
            filters=self.filters.shape(),
            rare_facet=self.rare_facet,
            is_narrow=self.is_narrow,
            by_rank=by_rank,
            walk=walk * (_LONGER if self.query.has_phrase and not by_rank else 1),
            has_after=self.after is not None,
            has_before=self.before is not None,
            has_low=place.low is not None,
            has_high=place.high is not None,
            has_ranked=bool(place.ranked),
            by_seq=self.by_seq,
            group_sort=self.group_sort,
        )

    def parameters(self, place: SearchPlace) -> dict[str, Any]:
        """Return the parameters of a statement that is prepared for the shape.

        The statement returns one match more than fits, to show that there are more.
        """
        on_sqlite = is_sqlite()
        index_query = (fts5_query if on_sqlite else tsquery)(self.query, self.scopes)
        return {
            **self.filters.parameters(),
            "the_owner": self.owner_id,
            "index_query": index_query,
            "any_word": "" if on_sqlite else any_tsquery(self.query),
            "after": self.after,
            "before": self.before,
            "low": place.low,
            "high": place.high,
            "ranked_keys": orjson.dumps(place.ranked).decode(),
            "window": self.bounds.window,
            "limit": self.size(place) + 1,
        }
