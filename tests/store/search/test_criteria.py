from dataclasses import asdict, replace
from uuid import UUID

import pytest

from chatstore.enums import Archived, Role, SearchPart
from chatstore.fulltext.index_format import owner_scope, role_scope, session_scope
from chatstore.fulltext.query import parse_query
from chatstore.store.filters import SessionFilters
from chatstore.store.search.criteria import Bounds, Criteria, SearchPlace

CHAT = UUID("507de50b-e29c-4a25-9b8a-d2d7410a926d")
CRITERIA = Criteria(
    owner_id="alice",
    query=parse_query("plan"),
    filters=SessionFilters(),
    rare_facet=None,
    session_ids=(),
    role=None,
    after=None,
    before=None,
    by_rank=True,
    limit=20,
    sure_characters=None,
)
START = SearchPlace(SearchPart.MESSAGES)


def test_cursors_hold_the_values_of_a_place_in_this_order():
    place = SearchPlace(
        SearchPart.MESSAGES,
        high=9,
        low=3,
        is_exhausted=True,
        ranked=(8, 7),
        unshown=(7,),
    )
    assert list(asdict(place).values()) == ["messages", 9, 3, True, (8, 7), (7,)]


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({}, [[owner_scope("alice")]]),
        ({"has_owner_scope": False}, []),
        ({"session_ids": (CHAT,)}, [[session_scope(CHAT)]]),
        ({"role": Role.USER}, [[owner_scope("alice")], [role_scope("user")]]),
    ],
)
def test_the_index_is_asked_within_scopes(changes, scopes):
    assert replace(CRITERIA, **changes).scopes == scopes


@pytest.mark.parametrize(
    ("changes", "is_narrow"),
    [
        ({}, False),
        ({"filters": SessionFilters(archived=Archived.ANY)}, False),
        ({"filters": SessionFilters(archived=Archived.YES)}, True),
        ({"filters": SessionFilters(model="m")}, True),
        ({"filters": SessionFilters(model="m"), "session_ids": (CHAT,)}, False),
    ],
)
def test_filters_narrow_a_search_unless_it_names_its_sessions(changes, is_narrow):
    assert replace(CRITERIA, **changes).is_narrow is is_narrow


def test_a_batch_is_ranked_until_a_window_has_ranked_enough():
    criteria = replace(CRITERIA, bounds=Bounds(batch=2, max_ranked=4))
    enough = replace(START, ranked=(4, 3, 2, 1))
    assert criteria.ranks(START)
    assert criteria.size(START) == 2
    assert not criteria.ranks(enough)
    assert criteria.size(enough) == 20
    assert not replace(criteria, by_rank=False).ranks(START)
