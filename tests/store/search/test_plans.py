"""Which of its strategies a search uses, according to each database's query plan."""

import pytest
from sqlalchemy import event

from chatstore.db import db
from chatstore.enums import Archived, SearchSort
from chatstore.fulltext.index_format import owner_scope
from chatstore.store.filters import SessionFilters
from chatstore.store.search.criteria import Bounds
from chatstore.store.search.pages import Search, search
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
        (*_, plan) = plans_of(is_free=True, q=q)
        assert "Index Scan Backward using pk_message_index" in plan, q
        assert "ix_message_index_words" not in plan, q


@on_postgresql
def test_words_that_never_meet_are_not_sought_in_all_messages(crowd):
    # Both words are common; the planner does not know that they never meet.
    (*_, plan) = plans_of(is_free=True, q="even odd")
    assert "ix_message_index_words" in plan, plan
    assert "Scan Backward" not in plan, plan
    assert "Seq Scan" not in plan, plan


@on_postgresql
@pytest.mark.parametrize("sort", SearchSort)
def test_what_a_walk_does_not_come_to_is_found_too(crowd, sort):
    # The sample overestimates: 50 of the newest messages match, and 100 old ones.
    bounds = Bounds(newest_walk=500, best_walk=500, dense_window=2)
    with recorded_statements() as sent:
        everywhere = {"filters": SessionFilters(archived=Archived.ANY)}
        listed = list(pages("ends", sort=sort, bounds=bounds, **everywhere))
    found = [hit.message_id for page in listed for hit in page]
    assert sorted(found) == [*range(1, 101), *range(19_951, 20_001)]
    assert any("AS newest" in each for each in sent)  # the walk was used


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
