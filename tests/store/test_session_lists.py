import re
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise, product

import pytest

from chatstore.db import db, read_connection, run_write
from chatstore.enums import Order, SessionSort
from chatstore.store import messages, session_lists
from chatstore.store.messages import append_message
from chatstore.store.paging import SessionPlace
from chatstore.store.session_lists import SessionListing, list_sessions
from chatstore.store.sessions import delete_session, update_session
from tests.support import parsed
from tests.support.statements import MOST_TO_READ, statements_of_read

STILL = timedelta(0)


def ids_of(page):
    return [chat.id for chat in parsed(page.items)]


def list_all(*, owner_id="alice", limit):
    """Return the ids of all sessions of the owner, page by page."""
    page = list_sessions(owner_id=owner_id, limit=limit)
    ids = ids_of(page)
    while page.next_place is not None:
        page = list_sessions(owner_id=owner_id, limit=limit, place=page.next_place)
        assert 1 <= len(page.items) <= limit
        ids += ids_of(page)
    return ids


def test_sessions_are_listed_by_their_newest_activity(db_session, make_session, clock):
    first, second, third = (make_session(owner_id="alice") for _ in range(3))
    run_write(append_message, first.id, owner_id="alice", content="x")
    run_write(update_session, second.id, owner_id="alice", changes={"name": "x"})
    page = list_sessions(owner_id="alice", limit=10)
    assert ids_of(page) == [first.id, third.id, second.id]
    assert page.next_place is None


def test_only_the_owners_sessions_are_listed(db_session, make_session):
    mine = make_session(owner_id="alice")
    make_session(owner_id="bob")
    make_session(owner_id="alice ")
    assert list_all(limit=10) == [mine.id]
    assert list_all(owner_id="nobody", limit=10) == []


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


@pytest.mark.parametrize(
    ("offset", "places"), [(0, [0, 1]), (1, [1, 2]), (2, [2]), (3, []), (10**5, [])]
)
def test_offset_passes_over_the_first_sessions(
    db_session, make_session, clock, offset, places
):
    chats = [make_session(owner_id="alice") for _ in range(3)][::-1]
    page = list_sessions(owner_id="alice", limit=2, offset=offset)
    assert ids_of(page) == [chats[place].id for place in places]


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


LISTINGS = [
    SessionListing(sort=sort, order=order, pinned_first=pinned_first)
    for sort in SessionSort
    for order in Order
    for pinned_first in (False, True)
]


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


PAGE_BYTES = 20_000


@pytest.fixture
def large_lists(db_session, make_session):
    """Sessions of very different sizes, one larger than a page."""
    counts = [0, 30, 1, 60, 10, 250, 0, 35, 20, 5, 50, 50, 0]
    chats = [
        make_session(
            owner_id="alice",
            name=f"{number * 7 % 13:02}",
            rag_document_ids=[f"{each}{'é' * 90}" for each in range(count)],
        )
        for number, count in enumerate(counts)
    ]
    for chat in chats[::3]:
        run_write(update_session, chat.id, owner_id="alice", changes={"pinned": True})
    return chats


@pytest.fixture(params=LISTINGS, ids=repr)
def large_pages(request, large_lists):
    """All ids in order, and a function that lists pages of the large sessions."""
    read_all = partial(list_sessions, owner_id="alice", listing=request.param)
    expected = ids_of(read_all(limit=1000))
    assert len(expected) == len(large_lists)
    return expected, partial(read_all, page_bytes=PAGE_BYTES)


def pages_onward(read, limit):
    pages = [read(limit=limit)]
    while place := pages[-1].next_place:
        pages.append(read(limit=limit, place=place))
    return pages


def pages_back(read, limit, last):
    """Return the pages before the last one, in list order."""
    pages = [last]
    while place := pages[0].previous_place:
        pages.insert(0, read(limit=limit, place=place))
    return pages[:-1]


LIMITS = pytest.mark.parametrize("limit", [2, 1000])


@LIMITS
def test_pages_of_large_sessions_are_the_whole_list(large_pages, limit):
    expected, read = large_pages
    assert sum(map(ids_of, pages_onward(read, limit)), []) == expected


@LIMITS
def test_pages_of_large_sessions_are_the_whole_list_backwards(large_pages, limit):
    expected, read = large_pages
    last = pages_onward(read, limit)[-1]
    before = sum(map(ids_of, pages_back(read, limit, last)), [])
    assert before + ids_of(last) == expected


@LIMITS
def test_a_page_ends_before_it_is_too_large(large_pages, limit):
    _, read = large_pages
    onward = pages_onward(read, limit)
    for page in [*onward, *pages_back(read, limit, onward[-1])]:
        assert len(page.items) == 1 or bytes_of(page) <= PAGE_BYTES


def test_a_page_has_as_many_large_sessions_as_fit(large_pages):
    _, read = large_pages
    pages = pages_onward(read, 1000)
    rest = 5000  # the allowance per session for all but its lists
    for page, following in pairwise(pages):
        first = len(following.items[0].encode())
        assert bytes_of(page) + rest * len(page.items) + first + rest > PAGE_BYTES


def test_an_offset_passes_over_large_sessions(large_pages):
    expected, read = large_pages
    page = read(limit=1000, offset=4)
    assert ids_of(page) == expected[4 : 4 + len(page.items)]
    assert page.next_place and page.previous_place


def bytes_of(page):
    return sum(len(text.encode()) for text in page.items)


def test_what_is_larger_than_its_share_is_not_made_before_it_fits(large_lists):
    listing = SessionListing()
    shape = session_lists._prepare(
        listing, session_lists._walks(listing, None), None, db.engine.dialect.name
    )
    parameters = {"the_owner": "alice", "limit": 1001, "offset": 0, "share": 20}
    with read_connection() as connection:
        ((_, texts),) = shape.rows(connection, parameters)
    assert len(texts.encode()) < 13 * 1000
    assert texts.count('["') == sum(bool(c.rag_document_ids) for c in large_lists)


def test_a_large_page_costs_few_statements(large_lists):
    statements = statements_of_read(list_sessions, owner_id="alice", limit=1000)
    assert len(statements) <= MOST_TO_READ, statements


def test_the_order_of_what_is_collected_is_written(db_session):
    kind = db.engine.dialect.name
    prepared = [(messages._prepare_range(order, has_role=False), 1) for order in Order]
    for sort, first in product(SessionSort, (True, False)):
        listing = SessionListing(sort=sort, pinned_first=first)
        walks = session_lists._walks(listing, None)
        prepared.append(
            (session_lists._prepare(listing, walks, None, kind), len(walks))
        )
    for each, parts in prepared:
        text = str(each._compiled_for(db.engine.dialect).text)
        aggregate = r"(?:group_concat|string_agg)\("
        ordered = rf"{aggregate}[^()]* ORDER BY [^()]*\)"
        assert len(re.findall(aggregate, text)) == parts, text
        assert len(re.findall(ordered, text)) == parts, text
