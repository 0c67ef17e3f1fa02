"""No search reads a whole table: what each database says of its plans."""

import random
import re

import pytest
from sqlalchemy import event, insert, text

from chatstore.db import db, in_transaction
from chatstore.enums import Role, SearchSort
from chatstore.models import Message
from chatstore.models.indexes import MESSAGES, NAMES
from chatstore.store import indexed
from chatstore.store.filters import SessionFilters
from chatstore.store.search import Search, search
from tests.store.crowd import fill_sessions

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
                ["often"] * (number % 2)
                + chance.choices(words, k=20)
                + [f"rare{number}"]
            ),
        }
        for number in range(MESSAGE_COUNT)
    ]
    db_session.execute(insert(Message), rows)
    db_session.commit()
    while in_transaction(indexed.number_sessions):
        pass
    for index in (MESSAGES, NAMES):
        last = 0
        while batch := in_transaction(indexed.reindex_batch, index, after=last):
            last = batch.last
    if db.engine.dialect.name == "postgresql":
        for index in (MESSAGES, NAMES):  # as autovacuum does
            merge = f"SELECT gin_clean_pending_list('ix_{index}_words')"
            db_session.execute(text(merge))
        db_session.execute(text("ANALYZE"))
    db_session.commit()
    return sessions


def plans(*, is_free=False, **where):
    """The plan of each SELECT of a search, as one text."""
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
        # Twenty thousand rows it would rather read: can it do without?
        cursor.execute("SET LOCAL enable_seqscan = off")
    for statement, parameters in found:
        cursor.execute(
            f"EXPLAIN {'QUERY PLAN' if is_sqlite else ''} {statement}", parameters
        )
        rows = cursor.fetchall()
        yield "\n".join(str(row[3] if is_sqlite else row[0]) for row in rows)


def whole_tables(plan):
    """The tables that a plan reads from end to end."""
    scans = re.findall(r"Seq Scan on (\w+)", plan)
    # FTS5 is always a scan; its number says by what: 0 would be all of it.
    scans += re.findall(r"SCAN (?!\w+ VIRTUAL TABLE INDEX \d+:[^\n]*M)(\w+)", plan)
    return set(scans) - {"newest", "anon_1", "anon_2", "anon_3", "anon_4"}


def test_no_search_reads_a_whole_table(crowd):
    for what, where in SEARCHES.items():
        found = list(plans(**where))
        assert found, what
        for plan in found:
            assert not whole_tables(plan), (what, plan)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_rare_words_come_from_the_index_and_common_ones_from_the_newest(crowd):
    (*_, rare), (*_, common) = (plans(is_free=True, q=q) for q in ("rare7", "often"))
    assert "ix_message_index_words" in rare, rare
    assert "Index Scan Backward using pk_message_index" in common


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_the_index_comes_first_and_rows_are_looked_up(crowd):
    for where in SEARCHES.values():
        (*_, plan) = plans(**where)
        lines = [each for each in plan.splitlines() if each.startswith(("SC", "SE"))]
        first, *others = [each for each in lines if "anon" not in each]
        assert first.startswith("SCAN message_index VIRTUAL TABLE"), plan
        assert others[0].startswith("SEARCH chat_messages USING INTEGER PRIMARY KEY")
