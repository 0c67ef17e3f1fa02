from functools import partial
from itertools import pairwise

import pytest

from chatstore.db import read_connection, run_write
from chatstore.store import session_lists
from chatstore.store.messages import append_message
from chatstore.store.session_lists import SessionListing, list_sessions
from chatstore.store.sessions import update_session
from tests.support.listings import LISTINGS, ids_of
from tests.support.statements import MOST_TO_READ, statements_of_read


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
    assert ids_of(list_sessions(owner_id="alice", limit=10)) == [mine.id]
    assert list_sessions(owner_id="nobody", limit=10).items == []


@pytest.mark.parametrize(
    ("offset", "places"), [(0, [0, 1]), (1, [1, 2]), (2, [2]), (3, []), (10**5, [])]
)
def test_offset_passes_over_the_first_sessions(
    db_session, make_session, clock, offset, places
):
    chats = [make_session(owner_id="alice") for _ in range(3)][::-1]
    page = list_sessions(owner_id="alice", limit=2, offset=offset)
    assert ids_of(page) == [chats[place].id for place in places]


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
    rest = 7000  # the allowance per session for all but its lists
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
    walks = session_lists._walks(listing, None)
    shape = session_lists._prepare(listing, walks, None, None)
    parameters = {"the_owner": "alice", "limit": 1001, "offset": 0, "share": 20}
    with read_connection() as connection:
        ((_, texts, _),) = shape.rows(connection, parameters)
    assert len(texts.encode()) < 13 * 1000
    assert texts.count('["') == sum(bool(c.rag_document_ids) for c in large_lists)


def test_a_large_page_costs_few_statements(large_lists):
    statements = statements_of_read(list_sessions, owner_id="alice", limit=1000)
    assert len(statements) <= MOST_TO_READ, statements
