"""Hits under their sessions: membership, counts, order, pages, bounds."""

import random

import pytest
from sqlalchemy import update

from chatstore.db import db, run_write
from chatstore.enums import Role, SearchSort
from chatstore.errors import NotFound
from chatstore.models import ChatSession
from chatstore.store.filters import SessionFilters
from chatstore.store.search.criteria import Bounds
from chatstore.store.search.groups import search_groups
from chatstore.store.search.pages import Search
from chatstore.store.sessions import delete_session, update_session
from tests.support.query_plans import plans_of
from tests.support.searches import groups, holds, new_chat, say

SORTS = [SearchSort.RELEVANCE, SearchSort.NEWEST]
WORDS = ["plan", "fees", "a", "b", "数据库"]
QUERIES = ["plan", "plan fees", "plan -fees", '"a b"', '"a a a"', "数据", "nothing", ""]


def random_text(chance, most):
    return " ".join(chance.choices(WORDS, k=chance.randrange(most)))


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize(("limit", "per_session"), [(100, 3), (2, 1), (5, 10)])
def test_groups_are_those_of_python(db_session, sort, limit, per_session):
    chance = random.Random(limit)
    texts = {}
    for _ in range(15):
        name = random_text(chance, 4) or None
        contents = [random_text(chance, 9) for _ in range(chance.randrange(1, 12))]
        chat = new_chat(name, *contents)
        texts[chat.id] = [(None, name or "")] + list(enumerate(contents, 1))
        new_chat("plan a b", "plan fees a b 数据库", owner_id="bob")
    for q in QUERIES:
        expected = {
            session_id: {seq for seq, text in own if text and holds(q, text)}
            for session_id, own in texts.items()
        }
        found = groups(q, limit=limit, per_session=per_session, sort=sort)
        assert len({group.session_id for group in found}) == len(found)
        assert {group.session_id: group.count for group in found} == {
            session_id: len(seqs) for session_id, seqs in expected.items() if seqs
        }, q
        for group in found:
            seqs = [hit.seq for hit in group.hits]
            assert len(seqs) == len(set(seqs)) == min(per_session, group.count)
            assert set(seqs) <= expected[group.session_id]
            assert {hit.session_id for hit in group.hits} == {group.session_id}
            assert group.count_is_exact


def test_the_best_session_comes_first_and_names_before_texts(db_session):
    filler = "so many other words stand here " * 20
    weak = new_chat("weak", f"plan {filler}", f"plan {filler}", "else")
    strong = new_chat("strong", f"plan {filler}", "plan plan plan")
    named = new_chat("A plan", f"plan {filler}", filler)
    newest = new_chat("newest", f"plan {filler * 2}")
    found = groups("plan")
    assert [each.session_name for each in found] == [
        "A plan",
        "strong",
        "weak",
        "newest",
    ]
    assert [each.count for each in found] == [2, 2, 2, 1]
    assert [hit.seq for hit in found[0].hits] == [None, 1]
    assert [hit.seq for hit in found[1].hits] == [2, 1]
    by_time = groups("plan", sort=SearchSort.NEWEST)
    ids = [each.session_id for each in by_time]
    assert ids == [named.id, newest.id, strong.id, weak.id]
    assert [hit.seq for hit in by_time[3].hits] == [2, 1]


def test_a_session_shows_its_best_hits(db_session):
    new_chat("x", *["plan " * number + "x " * 30 for number in range(1, 21)])
    (group,) = groups("plan", per_session=2)
    assert (group.count, [hit.seq for hit in group.hits]) == (20, [20, 19])
    (group,) = groups("plan", per_session=2, sort=SearchSort.NEWEST)
    assert [hit.seq for hit in group.hits] == [20, 19]
    say(db.session.get(ChatSession, group.session_id), "plan and much else " * 20)
    (group,) = groups("plan", per_session=1, sort=SearchSort.NEWEST)
    assert (group.count, group.hits[0].seq) == (21, 21)


def test_groups_heed_the_filters(db_session):
    new_chat("plan a", "plan 1", metadata_tags=["x"])
    other = new_chat("plan b", "plan 2", metadata_tags=["y"])
    say(other, "plan 3", role=Role.ASSISTANT)

    def among(**where):
        return {each.session_name: each.count for each in groups("plan", **where)}

    assert among() == {"plan a": 2, "plan b": 3}
    assert among(filters=SessionFilters(tag=("x",))) == {"plan a": 2}
    assert among(filters=SessionFilters(tag=("none",))) == {}
    assert among(role=Role.ASSISTANT) == {"plan b": 1}
    assert among(session_id=other.id) == {"plan b": 3}
    with pytest.raises(NotFound):
        among(session_id=other.id, owner_id="bob")
    changes = {"archived": True}
    run_write(update_session, other.id, owner_id="alice", changes=changes)
    assert among() == {"plan a": 2}


def test_a_hidden_session_is_in_no_group(db_session):
    shown, hidden, gone = (new_chat("plan", "plan") for _ in range(3))
    page = search_groups(Search(q="plan"), owner_id="alice", limit=1, per_session=3)
    db.session.execute(
        update(ChatSession)
        .where(ChatSession.id == hidden.id)
        .values(owner_id="  ", former_owner_id="alice")
    )
    db.session.commit()
    run_write(delete_session, gone.id, owner_id="alice")
    assert [each.session_id for each in groups("plan")] == [shown.id]
    # Nor on a page that begins where it was still shown.
    rest = search_groups(
        Search(q="plan"),
        owner_id="alice",
        limit=9,
        per_session=3,
        place=page.next_place,
    )
    assert {each.session_id for each in rest.groups} <= {shown.id}


@pytest.mark.parametrize("sort", SORTS)
def test_pages_have_each_session_once_while_messages_come(db_session, sort):
    chats = [new_chat(None, *["plan"] * 3) for _ in range(9)]
    place, seen = None, []
    while True:
        page = search_groups(
            Search(q="plan", sort=sort),
            owner_id="alice",
            limit=2,
            per_session=3,
            place=place,
        )
        seen += [each.session_id for each in page.groups]
        new_chat("plan", "plan plan")
        place = page.next_place
        if place is None:
            break
    assert sorted(seen) == sorted(chat.id for chat in chats)


@pytest.mark.parametrize("keys_per_step", [0, 10**6])
def test_groups_are_those_of_one_window(db_session, keys_per_step):
    old = new_chat("old", *["plan plan"] * 5)
    mixed = new_chat("mixed", *["plan"] * 10)
    new_chat("new", *["plan"] * 15)
    say(mixed, "plan", "else")
    bounds = Bounds(window=20, dense_window=1, keys_per_step=keys_per_step)
    found = groups("plan", bounds=bounds)
    assert {each.session_name: each.count for each in found} == {"mixed": 5, "new": 15}
    assert not any(each.count_is_exact for each in found)
    found = groups("plan", bounds=bounds, session_id=old.id)
    assert [(each.count, each.count_is_exact) for each in found] == [(5, True)]


def test_a_page_has_a_batch_of_hits_and_all_pages_a_batch_of_sessions(db_session):
    for number in range(7):
        new_chat(f"chat {number}", "plan", "plan")
    bounds = Bounds(batch=4)
    page = search_groups(
        Search(q="plan"), owner_id="alice", limit=9, per_session=2, bounds=bounds
    )
    assert [len(each.hits) for each in page.groups] == [2, 2]
    assert len(groups("plan", per_session=2, bounds=bounds)) == 4


def test_groups_have_the_total_if_it_is_asked_for(db_session):
    new_chat("plan", "plan", "plan")
    new_chat(None, "plan")
    asked = {"owner_id": "alice", "limit": 1, "per_session": 1}
    page = search_groups(Search(q="plan"), counts=True, **asked)
    assert tuple(page.total) == (4, True)
    assert search_groups(Search(q="plan"), **asked).total is None
    assert tuple(search_groups(Search(q=""), counts=True, **asked).total) == (0, True)


def test_a_long_text_without_the_phrase_is_in_no_group(db_session):
    filler = "a b " * 400
    new_chat("right", f"{filler} plan c", f"{filler} plan x c")
    new_chat("wrong", f"{filler} c plan b")
    for q in ('"b plan c"', '"a b a b a b plan c"'):
        found = groups(q)
        assert [(each.session_name, each.count) for each in found] == [("right", 1)], q
        assert found[0].count_is_exact


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request):
    return request.param


def test_groups_read_no_whole_table(crowd):
    for where in (
        {"q": "rare7"},
        {"q": "often"},
        {"q": "often word3", "sort": SearchSort.NEWEST},
        {"q": "often", "filters": SessionFilters(tag=("seldom",))},
    ):
        found = list(plans_of(find=search_groups, more={"per_session": 3}, **where))
        assert len(found) >= 3
        for plan in found:
            assert "Seq Scan" not in plan, (where, plan)
            assert "SCAN chat_messages" not in plan, (where, plan)
            assert "SCAN sessions" not in plan, (where, plan)
