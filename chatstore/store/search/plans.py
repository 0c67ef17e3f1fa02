"""Chooses and runs the statements of a search: for the best matches or the newest.

`statements` has the SQL.

PostgreSQL can walk the entries from the newest on, which is fast for common words. Or
it can take all matches out of the index, which is fast for rare words. Its planner does
not know how often words occur together, and some of its walks took more than a second.
So a sample of the entries decides, and a walk is bounded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection

from chatstore.fulltext.index_format import any_tsquery, fts5_query, tsquery
from chatstore.fulltext.query import Query
from chatstore.fulltext.words import INDEXED_CHARACTERS
from chatstore.store.filters import SessionFilters
from chatstore.store.search import statements
from chatstore.store.search.statements import (
    BEST_WALK,
    NEWEST_WALK,
    PROBES,
    SAMPLED,
    Shape,
)

# An entry's scope must hold one word of each list.
Scopes = Sequence[Sequence[str]]

# The database ranks this many of the newest matches at a time: a window.
WINDOW = 10_000
# A walk pays if it is likely to meet enough matches. For the newest hundred, 2 of the
# sampled entries must match. For a window, the share WINDOW / BEST_WALK of them must
# match, and 5 more for chance.
_DENSE, _DENSE_WINDOW = 2, SAMPLED * WINDOW // BEST_WALK + 5
# Our own score ranks this many of the best matches at a time.
BATCH = 100
# The cursor holds the keys of ranked matches, so at most this many of a window are
# ranked. The others come newest first.
MOST_TAKEN = 500
# Most entries with all words of a phrase lack the phrase, so a longer walk pays.
_LONGER = 3
# Each text may be long, so only this many are read at a time.
_TEXTS_AT_ONCE = 4


class Found(NamedTuple):
    """The row of an entry, a name or a message, with the driver's values.

    `text` is the beginning of the text, `bytes` the size of the whole text.
    """

    key: int
    text: str
    bytes: int
    session_id: Any
    session_name: str | None
    timestamp: Any
    message_id: int | None
    seq: int | None
    role: str | None


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds of one search, on matches, on the keys of a walk, and on samples."""

    window: int = WINDOW
    newest_walk: int = NEWEST_WALK
    best_walk: int = BEST_WALK
    dense_window: int = _DENSE_WINDOW
    batch: int = BATCH
    most_taken: int = MOST_TAKEN


BOUNDS = Bounds()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The conditions on matches: query, scopes, filters, instants and keys.

    `is_few` says that the scopes let few entries pass. `low` is an inclusive bound;
    `after`, `before` and `high` are exclusive. `taken` holds keys that were ranked
    before.
    """

    dialect_name: str
    owner_id: str
    query: Query
    scopes: Scopes
    filters: SessionFilters
    rare_facet: int | None
    is_few: bool
    is_narrow: bool
    after: datetime | None
    before: datetime | None
    low: int | None = None
    high: int | None = None
    taken: tuple[int, ...] = ()
    count: int
    bounds: Bounds = BOUNDS

    @property
    def is_fts5(self) -> bool:
        """Whether the index is SQLite's FTS5, not PostgreSQL's tsvector."""
        return self.dialect_name == "sqlite"

    def shape(self, *, by_rank: bool) -> Shape:
        """Return the shape, for which a statement is prepared."""
        walk = self.bounds.best_walk if by_rank else self.bounds.newest_walk
        return Shape(
            dialect_name=self.dialect_name,
            filters=self.filters.shape(),
            rare_facet=self.rare_facet,
            is_narrow=self.is_narrow,
            by_rank=by_rank,
            walk=walk * (_LONGER if self.query.has_phrase and not by_rank else 1),
            has_after=self.after is not None,
            has_before=self.before is not None,
            has_low=self.low is not None,
            has_high=self.high is not None,
            has_taken=bool(self.taken),
        )

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a statement that is prepared for the shape."""
        as_query = fts5_query if self.is_fts5 else tsquery
        return {
            **self.filters.parameters(),
            "the_owner": self.owner_id,
            "asked": as_query(self.query, self.scopes),
            "any": "" if self.is_fts5 else any_tsquery(self.query),
            "after": self.after,
            "before": self.before,
            "low": self.low,
            "high": self.high,
            "taken": orjson.dumps(self.taken).decode(),
            "window": self.bounds.window,
            "most": self.count,
        }


class Sample(NamedTuple):
    """The newest key, the matches in a sample, and if most messages are the owner's."""

    newest: int
    matching: int
    is_mostly_own: bool


@dataclass(frozen=True)
class Best:
    """Matches of a window, its first key (0 in the last one), and if it has more."""

    rows: list[Found]
    low: int | None
    has_more: bool


@dataclass(frozen=True)
class FirstLook:
    """Names that match, ids of sessions that match the filters, and a sample."""

    names: Best
    session_ids: list[UUID]
    sample: Sample | None


def look(
    connection: Connection,
    wanted: Wanted,
    *,
    by_rank: bool,
    names: bool,
    most_sessions: int | None,
    sample: bool,
) -> FirstLook:
    """Return names, sessions and a sample in one round trip, before any messages.

    `names` asks for matching names. `most_sessions` asks for at most that many sessions
    that match the filters, in no order.
    """
    if not (names or most_sessions or sample):
        return FirstLook(Best([], 0, False), [], None)
    prepared = statements.prepare_look(
        wanted.shape(by_rank=by_rank),
        names=names,
        sessions=bool(most_sessions),
        sample=sample,
    )
    most = wanted.bounds.dense_window if by_rank else _DENSE
    parameters = {
        **wanted.parameters(),
        "most_sessions": most_sessions,
        "most_sampled": most,
    }
    found: dict[str, list[tuple[Any, ...]]] = {"name": [], "session": [], "sample": []}
    for kind, *row in prepared.rows(connection, parameters):
        found[kind].append(tuple(row))
    return FirstLook(
        names=_best(found["name"], wanted),
        session_ids=[as_uuid(row[5]) for row in found["session"]],
        sample=_sample(found["sample"]),
    )


def find_best(connection: Connection, wanted: Wanted, sample: Sample | None) -> Best:
    """Return the best `count - 1` matches of the next window, in no order.

    A window holds the newest `bounds.window` matches below `high`, or those between
    `low` and `high` when both are given. The filters may let few of them pass.
    """
    if sample is not None and wanted.high is None:
        wanted = replace(wanted, high=sample.newest + 1)
    shape, parameters = wanted.shape(by_rank=True), wanted.parameters()
    dense = wanted.bounds.dense_window
    if sample is not None and sample.matching >= dense and wanted.high:
        floor = max(wanted.low or 1, wanted.high - shape.walk)
        is_whole = floor == (wanted.low or 1)
        if is_whole or wanted.low is None:
            walked = statements.prepare_best_of_walk(shape)
            best = _best(
                walked.rows(connection, {**parameters, "floor": floor}), wanted
            )
            if is_whole or best.low:
                return best
    rows = statements.prepare_best(shape).rows(connection, parameters)
    return _best(rows, wanted)


def find_newest(
    connection: Connection, wanted: Wanted, sample: Sample | None
) -> list[Found]:
    """Return the newest `count` messages that match, newest first."""
    shape, parameters = wanted.shape(by_rank=False), wanted.parameters()
    is_short = (
        not shape.is_fts5
        and wanted.low is not None
        and wanted.high is not None
        and wanted.high - wanted.low <= shape.walk
    )
    if is_short or (sample is not None and sample.matching >= _DENSE):
        rows = statements.prepare_walk(shape).rows(connection, parameters)
        if is_short or len(rows) == wanted.count:
            return [Found(*row) for row in rows]
    rows = statements.prepare_newest(shape).rows(connection, parameters)
    return [Found(*row) for row in rows]


def find_again(
    connection: Connection, wanted: Wanted, keys: Sequence[int], *, names: bool
) -> list[Found]:
    """Return rows with these keys that match the filters, in the order of `keys`."""
    if not keys:
        return []
    prepared = statements.prepare_again(wanted.shape(by_rank=False), names=names)
    parameters = {**wanted.parameters(), "keys": orjson.dumps(keys).decode()}
    rows = {row[0]: Found(*row) for row in prepared.rows(connection, parameters)}
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


def as_uuid(sent: UUID | str) -> UUID:
    """Return a driver's value as a UUID; SQLite's driver gives a text."""
    return sent if isinstance(sent, UUID) else UUID(sent)


def _best(rows: Sequence[tuple[Any, ...]], wanted: Wanted) -> Best:
    """Return the best of rows (low, rank, *Found); a row may have only `low`."""
    low = next((row[0] for row in rows), None) or 0
    found = sorted((row for row in rows if row[2] is not None), key=_rank, reverse=True)
    best = [Found(*row[2:]) for row in found[: wanted.count - 1]]
    return Best(best, low, has_more=len(found) >= wanted.count)


def _rank(row: tuple[Any, ...]) -> tuple[float, int]:
    return row[1], row[2]


def _sample(rows: Sequence[tuple[Any, ...]]) -> Sample | None:
    for low, rank, own, *_ in rows:
        return Sample(low or 0, int(rank), is_mostly_own=own >= PROBES - 1)
    return None
