"""All orders of a list of sessions, and the ids of a page."""

from chatstore.enums import Order, SessionSort
from chatstore.store.session_lists import SessionListing
from tests.support.api import parsed

LISTINGS = [
    SessionListing(sort=sort, order=order, pinned_first=pinned_first)
    for sort in SessionSort
    for order in Order
    for pinned_first in (False, True)
]


def ids_of(page):
    return [chat.id for chat in parsed(page.items)]
