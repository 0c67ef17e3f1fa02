"""No search reads a whole table, according to each database's query plan."""

import random
import re

import pytest
from sqlalchemy import event, insert, text

from chatstore.db import db, run_write
from chatstore.enums import Archived, Role, SearchSort
from chatstore.fulltext.index_format import MESSAGES, NAMES, owner_scope
from chatstore.models import Message
from chatstore.store.filters import SessionFilters
from chatstore.store.search import rebuild
from chatstore.store.search.criteria import Bounds
from chatstore.store.search.pages import Search, search
from tests.support import on_postgresql, on_sqlite
from tests.support.crowd import fill_sessions
from tests.support.searches import new_chat, pages, say
from tests.support.statements import recorded_statements

MESSAGE_COUNT = 20_000
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


@pytest.fixture
def crowd(db_session):
    sessions = fill_sessions(2000)
    chance = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    rows = [
        {
            "session_id": sessions[number % len(sessions)]["id"],
            "seq": number // len(sessions) + 1,
            "timestamp": sessions[0]["created_at"],
            "role": "user",
            "content": " ".join(
                (["often", "odd"] if number % 2 else ["even"])
                + ["ends"] * (number < 100 or number >= MESSAGE_COUNT - 50)
                + chance.choices(words, k=20)
                + [f"rare{number}"]
            ),
        }
        for number in range(MESSAGE_COUNT)
    ]
    db_session.execute(insert(Message), rows)
    db_session.commit()
    while run_write(rebuild.number_sessions):
        pass
    for index in (MESSAGES, NAMES):
        last = 0
        while batch := run_write(rebuild.reindex_batch, index, after=last):
            last = batch.last
    if db.engine.dialect.name == "postgresql":
        for index in (MESSAGES, NAMES):  # merge pending entries, as autovacuum does
            merge = f"SELECT gin_clean_pending_list('ix_{index}_words')"
            db_session.execute(text(merge))
        db_session.execute(text("ANALYZE"))
    db_session.commit()
    return sessions


def plans_of(*, is_free=False, **where):
    """Yield the plan of each SELECT of a search, as one text."""
    found = []

    def explain(connection, cursor, statement, parameters, *_):
        if "message_index" in statement or "name_index" in statement:
            found.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        search(Search(**where), owner_id="alice", limit=20)
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)
    cursor = db.session.connection().connection.cursor()
    is_sqlite = db.engine.dialect.name == "sqlite"
    if not is_sqlite and not is_free:
        # The planner prefers to scan 20,000 rows, so forbid that.
        cursor.execute("SET LOCAL enable_seqscan = off")
    for statement, parameters in found:
        cursor.execute(
            f"EXPLAIN {'QUERY PLAN' if is_sqlite else ''} {statement}", parameters
        )
        rows = cursor.fetchall()
        yield "\n".join(str(row[3] if is_sqlite else row[0]) for row in rows)


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


@on_postgresql
@pytest.mark.parametrize("q", ["often", "often rare19999"])
def test_the_index_is_asked_for_an_owner_unless_nearly_all_is_theirs(crowd, q):
    asked, owner = asked_of_the_index(q)
    assert owner not in asked
    # Most messages are alice's still, but looking up bob's would be slow.
    bobs = new_chat("bob's", owner_id="bob")
    for _ in range(3):
        say(bobs, *["often rare19999"] * 1000)
    asked, owner = asked_of_the_index(q)
    assert owner in asked


@pytest.mark.parametrize("q", ["often", "often rare19999"])
def test_somebody_elses_is_not_found_where_most_are_the_owners(crowd, q):
    theirs = new_chat("theirs", "often rare19999", owner_id="bob")
    mine = [hit for page in pages(q, limit=50) for hit in page]
    assert mine
    assert theirs.id not in {hit.session_id for hit in mine}


@on_sqlite
def test_the_index_comes_first_and_rows_are_looked_up(crowd):
    for where in SEARCHES.values():
        (*_, plan) = plans_of(**where)
        real = re.compile("(SCAN|SEARCH) (message_index|chat_messages|sessions) .*")
        lines = [each for each in plan.splitlines() if real.fullmatch(each)]
        assert lines[0].startswith("SCAN message_index VIRTUAL TABLE"), plan
        lines = [each for each in lines if "message_index" not in each]
        assert lines[0].startswith("SEARCH chat_messages USING INTEGER PRIMARY KEY")


@on_sqlite
def test_a_sample_of_messages_is_looked_up_by_their_ids(crowd):
    for plan in plans_of(q="plan"):
        assert "(session_id=?)" not in plan
        assert "SEARCH sessions USING COVERING INDEX" not in plan
