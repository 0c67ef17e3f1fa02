from datetime import datetime, timedelta
from functools import partial

import pytest

from chatstore.db import run_write
from chatstore.store.paging import SessionPlace
from chatstore.store.session_lists import list_sessions
from chatstore.store.sessions import delete_session
from tests.support import parsed
from tests.support.listings import LISTINGS, ids_of

STILL = timedelta(0)


def list_all(*, owner_id="alice", limit):
    """Return the ids of all sessions of the owner, page by page."""
    page = list_sessions(owner_id=owner_id, limit=limit)
    ids = ids_of(page)
    while page.next_place is not None:
        page = list_sessions(owner_id=owner_id, limit=limit, place=page.next_place)
        assert 1 <= len(page.items) <= limit
        ids += ids_of(page)
    return ids


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_pages_are_the_whole_list_though_the_clock_stands_still(
    db_session, make_session, clock, limit
):
    clock.step = STILL
    chats = [make_session(owner_id="alice") for _ in range(7)]
    make_session(owner_id="bob")
    expected = sorted((chat.id for chat in chats), reverse=True)
    assert list_all(limit=limit) == expected


def test_a_page_that_ends_the_list_says_so(db_session, make_session):
    for _ in range(4):
        make_session(owner_id="alice")
    first = list_sessions(owner_id="alice", limit=2)
    assert first.next_place is not None
    last = list_sessions(owner_id="alice", limit=2, place=first.next_place)
    assert (len(last.items), last.next_place) == (2, None)


def test_new_sessions_between_two_pages_neither_repeat_nor_hide_any(
    db_session, make_session, clock
):
    old = [make_session(owner_id="alice") for _ in range(4)][::-1]
    page = list_sessions(owner_id="alice", limit=2)
    make_session(owner_id="alice")
    rest = list_sessions(owner_id="alice", limit=2, place=page.next_place)
    assert ids_of(page) + ids_of(rest) == [chat.id for chat in old]


def test_a_page_goes_on_though_the_session_it_ended_at_is_deleted(
    db_session, make_session, clock
):
    chats = [make_session(owner_id="alice") for _ in range(4)][::-1]
    page = list_sessions(owner_id="alice", limit=2)
    run_write(delete_session, chats[1].id, owner_id="alice")
    rest = list_sessions(owner_id="alice", limit=2, place=page.next_place)
    assert ids_of(rest) == [chats[2].id, chats[3].id]


@pytest.fixture(params=LISTINGS, ids=repr)
def two_pages(request, db_session, make_session, clock):
    """Two pages of sessions with equal keys, and a function that lists from a place."""
    clock.step = STILL
    for _ in range(4):
        make_session(owner_id="alice")
    page = partial(list_sessions, owner_id="alice", limit=2, listing=request.param)
    first = page()
    return first, page(place=first.next_place), page


def delete_all(page):
    for chat in parsed(page.items):
        run_write(delete_session, chat.id, owner_id="alice")


def test_from_a_last_page_that_has_become_empty_a_way_leads_back(two_pages):
    first, last, page = two_pages
    delete_all(last)
    empty = page(place=first.next_place)
    assert (empty.items, empty.next_place) == ([], None)
    assert ids_of(page(place=empty.previous_place)) == ids_of(first)


def test_from_a_first_page_that_has_become_empty_a_way_leads_on(two_pages):
    first, last, page = two_pages
    delete_all(first)
    empty = page(place=last.previous_place)
    assert (empty.items, empty.previous_place) == ([], None)
    assert ids_of(page(place=empty.next_place)) == ids_of(last)


def test_the_key_of_the_next_page_is_the_last_of_this_one(db_session, make_session):
    for _ in range(3):
        make_session(owner_id="alice")
    page = list_sessions(owner_id="alice", limit=2)
    last = parsed(page.items)[-1]
    moved = datetime.fromisoformat(last.last_updated_at)
    assert page.next_place == SessionPlace(moved, last.id)
