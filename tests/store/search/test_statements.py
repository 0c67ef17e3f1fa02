"""No search reads a whole table, according to each database's query plan."""

import re

import pytest

from chatstore.db import read_connection
from chatstore.enums import Role, SearchSort
from chatstore.store.filters import SessionFilters
from chatstore.store.search.pages import Search, search
from chatstore.store.search.statements import PROBES, prepare_texts
from tests.support import on_postgresql, on_sqlite
from tests.support.query_plans import plans_of
from tests.support.searches import new_chat
from tests.support.statements import plan_of

SEARCHES = {
    "a rare word": {"q": "rare7"},
    "a common word": {"q": "often"},
    "two words": {"q": "often word3"},
    "a phrase": {"q": '"often word3"'},
    "a beginning": {"q": "rare1*"},
    "not": {"q": "often -word3"},
    "newest": {"q": "often", "sort": SearchSort.NEWEST},
    "a role": {"q": "often", "role": Role.USER},
    "a seldom tag": {"q": "often", "filters": SessionFilters(tag=("seldom",))},
    "an often tag": {"q": "often", "filters": SessionFilters(tag=("often",))},
    "a model": {"q": "often", "filters": SessionFilters(model="m2")},
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request):
    return request.param


def whole_tables(plan):
    """Return the tables that a plan reads from end to end."""
    scans = re.findall(r"Seq Scan on (\w+)", plan)
    # FTS5 always scans; "M" in its number means by a match, else it reads all.
    scans += re.findall(r"SCAN (?!\w+ VIRTUAL TABLE INDEX \d+:[^\n]*M)(\w+)", plan)
    # Intermediate results and list parameters may be scanned.
    found = {"newest", "matches", "ranked", "best", "edge", "probes", "CONSTANT"}
    return {each for each in scans if not each.startswith("anon_")} - found


def test_no_search_reads_a_whole_table(crowd):
    for what, where in SEARCHES.items():
        found = list(plans_of(**where))
        assert found, what
        for plan in found:
            assert not whole_tables(plan), (what, plan)


@on_sqlite
def test_the_index_comes_first_and_rows_are_looked_up(crowd):
    for where in SEARCHES.values():
        (*_, plan) = plans_of(**where)
        real = re.compile("(SCAN|SEARCH) (message_index|chat_messages|sessions) .*")
        lines = [each for each in plan.splitlines() if real.fullmatch(each)]
        assert lines[0].startswith("SCAN message_index VIRTUAL TABLE"), plan
        lines = [each for each in lines if "message_index" not in each]
        assert lines[0].startswith("SEARCH chat_messages USING INTEGER PRIMARY KEY")


@on_postgresql
def test_a_sample_looks_up_no_more_places_than_there_are_messages(db_session):
    new_chat("a", *["often"] * PROBES)
    (plan, *_) = plans_of(is_free=True, is_run=True, q="often")
    numbers = re.findall(r"actual .*rows=(\d+)\S* loops=(\d+)", plan)
    assert max(int(each) for pair in numbers for each in pair) == PROBES


@on_sqlite
def test_a_sample_of_messages_is_looked_up_by_their_ids(crowd):
    for plan in plans_of(q="plan"):
        assert "(session_id=?)" not in plan
        assert "SEARCH sessions USING COVERING INDEX" not in plan


@on_sqlite
def test_keys_are_looked_up_in_sqlite(crowd):
    parameters = {"keys": "[3, 5]", "length": 9}
    with read_connection() as connection:
        plan = plan_of("sqlite", lambda: prepare_texts().rows(connection, parameters))
    assert "SEARCH chat_messages USING INTEGER PRIMARY KEY (rowid=?)" in plan
    assert "SCAN chat_messages" not in plan
    first = search(Search(q="often"), owner_id="alice", limit=5)

    def second_page():
        search(Search(q="often"), owner_id="alice", limit=5, place=first.next_place)

    plan = plan_of("sqlite", second_page)
    assert "SEARCH chat_messages USING INTEGER PRIMARY KEY (rowid=?)" in plan
    assert "SCAN chat_messages" not in plan
