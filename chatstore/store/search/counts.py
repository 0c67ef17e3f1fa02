"""Counts the hits of a search, within bounds; reads texts only to check phrases."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from chatstore.db import is_sqlite
from chatstore.enums import SearchPart
from chatstore.fulltext.index_format import UNPLACED_TSQUERY
from chatstore.store.search import statements
from chatstore.store.search.criteria import Criteria, SearchPlace
from chatstore.store.search.hits import count_checkable, holds
from chatstore.store.search.plans import (
    find_by_keys,
    narrow,
    read_texts,
    take_first_look,
)


class Total(NamedTuple):
    """A number of hits; a lower bound if it is not exact."""

    hits: int
    is_exact: bool


@dataclass(frozen=True)
class Doubtful:
    """Keys of matches that are not hits, as far as their texts were checked.

    `has_unchecked` says whether some of them may be hits.
    """

    keys: tuple[int, ...] = ()
    has_unchecked: bool = False


def count_hits(connection: Connection, criteria: Criteria) -> Total:
    """Return the number of hits on all pages of a search.

    It examines at most `bounds.window` of the matches in names, and of those in
    messages. Where the index is not sure about a phrase, it checks as much text as a
    page does.
    """
    look = take_first_look(connection, criteria, SearchPlace(SearchPart.MESSAGES))
    if criteria.is_narrow and not look.session_ids:
        return Total(0, is_exact=True)
    criteria = narrow(criteria, look)
    total, is_exact = 0, True
    parts = (SearchPart.NAMES,) if criteria.has_names else ()
    for part in (*parts, SearchPart.MESSAGES):
        doubtful = find_doubtful(connection, criteria, part)
        place = SearchPlace(part, ranked=doubtful.keys)
        prepared = statements.prepare_count(
            criteria.shape(place), names=part is SearchPart.NAMES
        )
        rows = prepared.rows(connection, criteria.parameters(place))
        ((examined, counted),) = rows
        total += min(counted, criteria.bounds.window)
        if examined > criteria.bounds.window or doubtful.has_unchecked:
            is_exact = False
    return Total(total, is_exact)


def find_doubtful(
    connection: Connection, criteria: Criteria, part: SearchPart
) -> Doubtful:
    """Return which matches in names or messages the index should not have found.

    It checks the texts about which the index is not sure, newest first.
    """
    is_name = part is SearchPart.NAMES
    if criteria.sure_characters is None or is_name and not is_sqlite():
        return Doubtful()  # PostgreSQL's index has all places of a name's words
    place = SearchPlace(part)
    prepared = statements.prepare_sizes(criteria.shape(place), names=is_name)
    parameters = criteria.parameters(place)
    if not is_sqlite():
        parameters["index_query"] += f" & {UNPLACED_TSQUERY}"
    rows = prepared.rows(connection, parameters)
    keys = [key for key, _ in rows]
    checkable = keys[: count_checkable([size for _, size in rows])]
    if is_name:
        names = find_by_keys(connection, criteria, place, checkable)
        texts = iter([(row.key, row.text) for row in names])
    else:
        texts = read_texts(connection, checkable)
    found = {key for key, text in texts if holds(text, criteria)}
    return Doubtful(
        tuple(key for key in keys if key not in found), len(checkable) < len(keys)
    )
