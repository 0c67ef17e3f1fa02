"""The number of hits equals what the pages show, within its bounds."""

import random
import re

import pytest
from sqlalchemy import update

from chatstore.db import db, run_write
from chatstore.enums import Archived, Role, SearchSort
from chatstore.errors import NotFound
from chatstore.models import ChatSession
from chatstore.store.filters import SessionFilters
from chatstore.store.search.criteria import Bounds
from chatstore.store.search.hits import CHECKED_CHARACTERS
from chatstore.store.search.pages import Search, search
from chatstore.store.sessions import delete_session, update_session
from tests.support import on_postgresql, on_sqlite
from tests.support.query_plans import plans_of
from tests.support.searches import hits, holds, new_chat, say, total

COUNT = {"counts": True}
WORDS = ["plan", "fees", "a", "b", "数据库", "getPlan"]
QUERIES = [
    "plan",
    "plan fees",
    "plan -fees",
    '"a b"',
    'a -"a b"',
    '"a b a b a"',
    '"a a a"',
    "数据",
    "pla*",
    "fees OR 库",
    "nothing",
    "-",
    "",
]


def random_text(chance, most=12):
    return " ".join(chance.choices(WORDS, k=chance.randrange(most)))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_total_is_that_of_python(db_session, seed):
    chance = random.Random(seed)
    names, contents = [], []
    for _ in range(12):
        names.append(random_text(chance, 4) or None)
        contents.append([random_text(chance) for _ in range(15)])
        chats = [new_chat(names[-1], *contents[-1])]
        new_chat("plan fees a b", "plan fees a b", owner_id="bob")
    for q in QUERIES:
        by_name = [bool(name) and holds(q, name) for name in names]
        by_text = [sum(holds(q, text) for text in texts) for texts in contents]
        assert total(q) == (sum(by_name) + sum(by_text), True), q
        last = {"session_id": chats[-1].id}
        assert total(q, **last) == (by_name[-1] + by_text[-1], True), q
        assert total(q, sort=SearchSort.SEQ, **last) == (by_text[-1], True), q


def test_the_total_heeds_what_the_pages_heed(db_session):
    chat = new_chat("plan", "plan", "plan", metadata_tags=["x"])
    other = new_chat("plan", "plan", metadata_tags=["y"])
    say(other, "plan", role=Role.ASSISTANT)
    changes = {"archived": True}
    run_write(update_session, other.id, owner_id="alice", changes=changes)
    hidden = new_chat("plan", "plan", "plan")
    run_write(delete_session, hidden.id, owner_id="alice")
    for where in (
        {},
        {"sort": SearchSort.NEWEST},
        {"role": Role.USER},
        {"role": Role.ASSISTANT, "filters": SessionFilters(archived=Archived.ANY)},
        {"filters": SessionFilters(archived=Archived.YES)},
        {"filters": SessionFilters(tag=("x",))},
        {"filters": SessionFilters(tag=("none",))},
        {"after": chat.created_at},
        {"before": chat.created_at},
        {"session_id": other.id, "filters": SessionFilters(archived=Archived.ANY)},
        {"session_id": other.id},
    ):
        assert total("plan", **where) == (len(hits("plan", **where)), True), where
    assert total("plan") == (3, True)


def test_a_session_that_another_owner_hides_is_not_counted(db_session):
    new_chat("plan", "plan")
    gone = new_chat("plan", "plan", "plan")
    db.session.execute(
        update(ChatSession)
        .where(ChatSession.id == gone.id)
        .values(owner_id="  ", former_owner_id="alice")
    )
    db.session.commit()
    assert total("plan") == (2, True)
    assert total("plan", sort=SearchSort.NEWEST) == (2, True)
    with pytest.raises(NotFound):
        total("plan", session_id=gone.id)


def test_only_a_page_that_asks_has_a_total(db_session):
    new_chat(None, "plan", "plan")
    first = search(Search(q="plan"), owner_id="alice", limit=1)
    assert first.total is None
    second = search(
        Search(q="plan"), owner_id="alice", limit=1, place=first.next_place, counts=True
    )
    assert (second.total.hits, second.total.is_exact) == (2, True)


def test_a_total_examines_one_window_of_matches(db_session):
    chat = new_chat("plan", *["plan"] * 20)
    other = new_chat(None, "plan")
    for window, expected in ((30, 22), (21, 22), (20, 21), (5, 6)):
        found = total("plan", bounds=Bounds(window=window))
        assert found == (expected, window >= 21), window
    # Matches that the filters reject count as examined.
    some = {"filters": SessionFilters(name="nothing")}
    assert total("plan", bounds=Bounds(window=5), **some) == (0, True)
    one = {"bounds": Bounds(window=20), "sort": SearchSort.SEQ}
    assert total("plan", session_id=other.id, **one) == (1, True)
    assert total("plan", session_id=chat.id, **one) == (20, True)
    say(chat, "plan")
    assert total("plan", session_id=chat.id, **one) == (20, False)


def test_a_phrase_in_long_texts_is_counted_as_far_as_texts_are_checked(db_session):
    filler = "a b " * 400
    long_texts = [f"{filler} plan c"] * 3 + [f"plan {filler} c"] * 2
    chat = new_chat(None, *long_texts, '"plan c"')
    # PostgreSQL's index has no place for the words at the end, nor FTS5 for repeats.
    for q in ('"b plan c"', '"a b a b a b plan"'):
        assert total(q) == (3, True), q
        assert total(q, sort=SearchSort.SEQ, session_id=chat.id) == (3, True), q


def test_beyond_what_may_be_checked_a_total_is_at_least_so_much(db_session):
    length = 100_000
    count = CHECKED_CHARACTERS // length + 2
    text = ("a b " * length)[: length - 7] + " plan c"
    new_chat(None, *[text] * count)
    assert total('"a b a b a b"') == (count - 2, False)
    # FTS5 knows all places of a word, a tsvector only the first.
    is_sqlite = db.engine.dialect.name == "sqlite"
    expected = (count, True) if is_sqlite else (count - 2, False)
    assert total('"plan c"') == expected


# Plans: no count reads more messages than match


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request):
    return request.param


@pytest.fixture(scope="module")
def long_chat(crowd):
    """A session of 3,000 messages with 41 hits, among 20,000 other messages."""
    chat = new_chat("long")
    for number in range(3):
        turns = ["filler often"] * 1000
        turns[10 : 10 + (14, 14, 13)[number]] = ["needle often"] * (14, 14, 13)[number]
        say(chat, *turns)
    return chat


PLANNED = [
    {"q": "needle", "sort": SearchSort.SEQ},
    {"q": "needle often"},
    {"q": '"needle often"', "sort": SearchSort.NEWEST},
]


@on_postgresql
@pytest.mark.parametrize("where", PLANNED)
def test_postgresql_looks_up_the_hits_of_a_session_only(long_chat, where):
    assert total(session_id=long_chat.id, **where) == (41, True)
    plans = list(
        plans_of(
            is_free=True, is_run=True, more=COUNT, session_id=long_chat.id, **where
        )
    )
    plans = [plan for plan in plans if "message_index" in plan]
    assert len(plans) >= 2  # the count and the page, and for a phrase what is in doubt
    for plan in plans:
        assert "ix_message_index_words" in plan, plan
        assert "Seq Scan" not in plan, plan
        reads = re.findall(
            r"(?:chat_messages|message_index) .*actual .*rows=(\d+)\S* loops=(\d+)",
            plan,
        )
        assert reads, plan
        assert all(int(rows) * int(loops) <= 41 for rows, loops in reads), plan
        assert "Rows Removed by Filter" not in plan, plan


@on_sqlite
@pytest.mark.parametrize("where", PLANNED)
def test_sqlite_looks_up_the_hits_of_a_session_only(long_chat, where):
    assert total(session_id=long_chat.id, **where) == (41, True)
    plans = list(plans_of(more=COUNT, session_id=long_chat.id, **where))
    plans = [plan for plan in plans if "message_index" in plan]
    assert len(plans) == 2
    for plan in plans:
        assert re.search(r"SCAN message_index VIRTUAL TABLE INDEX \d+:\S*M", plan), plan
        assert re.findall("(?:SCAN|SEARCH) chat_messages.*", plan) == [
            "SEARCH chat_messages USING INTEGER PRIMARY KEY (rowid=?)"
        ], plan


def test_a_count_of_all_sessions_reads_no_whole_table(crowd):
    for where in (
        {"q": "rare7"},
        {"q": "often"},
        {"q": "often word3"},
        {"q": "even odd"},
        {"q": "often", "filters": SessionFilters(tag=("seldom",))},
        {"q": "often", "filters": SessionFilters(model="m2")},
    ):
        for plan in plans_of(more=COUNT, **where):
            assert "Seq Scan" not in plan, plan
            assert "SCAN chat_messages" not in plan, plan
            assert "SCAN sessions" not in plan, plan
