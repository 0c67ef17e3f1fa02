"""Which of its strategies a search uses, according to each database's query plan."""

import re

import pytest
from sqlalchemy import event

from chatstore.db import db, run_write
from chatstore.enums import Archived, SearchSort
from chatstore.fulltext.index_format import owner_scope
from chatstore.store.filters import SessionFilters
from chatstore.store.search.criteria import SAMPLED, Bounds
from chatstore.store.search.pages import Search, search
from chatstore.store.sessions import delete_session
from tests.support import on_postgresql
from tests.support.query_plans import plans_of
from tests.support.searches import new_chat, pages, say
from tests.support.statements import recorded_statements


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request):
    return request.param


@on_postgresql
def test_rare_words_come_from_the_index_and_common_ones_from_the_newest(crowd):
    for q in ("rare7", '"often rare7"', "often rare7", "often -often7 rare7"):
        (*_, plan) = plans_of(is_free=True, q=q)
        assert "ix_message_index_words" in plan, q
    for q in ("often", '"often odd"', "often -word3", "often word*"):
        # All matches are many times this window.
        (*_, plan) = plans_of(is_free=True, q=q, bounds=Bounds(window=500))
        assert "Index Scan Backward using pk_message_index" in plan, q
        assert "ix_message_index_words" not in plan, q


@on_postgresql
@pytest.mark.parametrize("q", ["word3", "word3 OR word4"])
def test_of_fairly_common_words_only_a_range_is_read(crowd, q):
    bounds = Bounds(window=100, dense_window=1)
    (_, plan, *more) = plans_of(is_free=True, is_run=True, q=q, bounds=bounds)
    assert not more
    (read,) = re.findall(
        r"Bitmap Heap Scan on message_index .*actual .*rows=(\d+)", plan
    )
    assert 100 < int(read) < 400
    assert "BitmapAnd" in plan
    assert "Rows Removed by" not in plan.split("CTE edge")[0]


@on_postgresql
def test_words_that_never_meet_are_not_sought_in_all_messages(crowd):
    # Both words are common; the planner does not know that they never meet.
    (*_, plan) = plans_of(is_free=True, q="even odd")
    assert "ix_message_index_words" in plan, plan
    assert "Scan Backward" not in plan, plan
    assert "Seq Scan" not in plan, plan


FLOOR = re.compile(r"id = '(\d+)'")
WALK, RANGE, ALL = "AS newest", " OR message_index.id", "newest AS MATERIALIZED"


@on_postgresql
@pytest.mark.parametrize(
    ("sort", "window", "way"),
    [
        (SearchSort.NEWEST, 10_000, WALK),
        (SearchSort.RELEVANCE, 5, WALK),
        (SearchSort.RELEVANCE, 10_000, RANGE),
    ],
)
def test_what_a_walk_or_range_does_not_come_to_is_found_too(crowd, sort, window, way):
    # The sample overestimates: 50 of the newest messages match, and 100 old ones.
    bounds = Bounds(window=window, newest_walk=500, best_walk=500, dense_window=2)
    with recorded_statements() as sent:
        everywhere = {"filters": SessionFilters(archived=Archived.ANY)}
        listed = list(pages("ends", sort=sort, bounds=bounds, **everywhere))
    found = [hit.message_id for page in listed for hit in page]
    assert sorted(found) == [*range(1, 101), *range(19_951, 20_001)]
    assert any(way in each for each in sent)


@on_postgresql
def test_a_range_that_is_too_short_is_taken_twice_as_long(crowd):
    everywhere = SessionFilters(archived=Archived.ANY)
    # The window ends before the newest 50 matches; the next ones are the oldest.
    bounds = Bounds(window=50, best_walk=20_000, dense_window=1)
    (_, *plans) = plans_of(is_free=True, q="ends", filters=everywhere, bounds=bounds)
    floors = [int(each) for plan in plans for each in FLOOR.findall(plan)]
    assert floors == [5001, 1]


@on_postgresql
def test_all_strategies_find_the_same_in_the_same_order(db_session):
    mine, gone, theirs = new_chat("a"), new_chat("b"), new_chat("c", owner_id="bob")
    for number in range(60):
        say(mine, "plan " * (number % 7 + 1), "other", "plan b")
        say(gone, "plan plan", "other")
        say(theirs, "plan plan plan", "other")
    run_write(delete_session, gone.id, owner_id="alice")
    found = {}
    for way, more in {
        WALK: {"keys_per_step": 0},
        RANGE: {"keys_per_step": 10**6},
        ALL: {"dense_window": SAMPLED + 1},
    }.items():
        bounds = Bounds(**{"window": 40, "batch": 10, "dense_window": 1} | more)
        with recorded_statements() as sent:
            found[way] = [
                [(hit.message_id, hit.score) for hit in page]
                for page in pages("plan", limit=7, bounds=bounds)
            ]
        looks = [each for each in sent if "'sample'" in each]
        assert any(way in each for each in sent if each not in looks), way
    assert sum(map(len, found[ALL])) == 120
    assert found[WALK] == found[RANGE] == found[ALL]


def asked_of_the_index(q):
    """Return the last statement's query to the index, and the owner's word."""
    sent = []

    def record(connection, cursor, statement, values, *_):
        sent.append(values)

    event.listen(db.engine, "before_cursor_execute", record)
    try:
        search(Search(q=q), owner_id="alice", limit=50)
    finally:
        event.remove(db.engine, "before_cursor_execute", record)
    return sent[-1]["index_query"], f"'_{owner_scope('alice')}'"


@pytest.mark.parametrize("q", ["often", "often rare19999"])
def test_somebody_elses_is_not_found_where_most_are_the_owners(crowd, q):
    theirs = new_chat("theirs", "often rare19999", owner_id="bob")
    mine = [hit for page in pages(q, limit=50) for hit in page]
    assert mine
    assert theirs.id not in {hit.session_id for hit in mine}


# The last test, because it adds another owner's messages to the crowd.
@on_postgresql
def test_the_index_is_asked_for_an_owner_unless_nearly_all_is_theirs(crowd):
    queries = ("often", "often rare19999")
    for q in queries:
        asked, owner = asked_of_the_index(q)
        assert owner not in asked
    # Most messages are alice's still, but looking up bob's would be slow.
    bobs = new_chat("bob's", owner_id="bob")
    for _ in range(3):
        say(bobs, *["often rare19999"] * 1000)
    for q in queries:
        asked, owner = asked_of_the_index(q)
        assert owner in asked
