"""Lists of sessions: filtered, sorted, page by page in both directions; no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from chatstore.db import db
from chatstore.enums import Order, SessionSort
from chatstore.models import ChatSession
from chatstore.store.filters import SessionFilters, pinned_is, select_matching
from chatstore.store.paging import Page, SessionPlace

SORT_COLUMNS: dict[SessionSort, InstrumentedAttribute[Any]] = {
    SessionSort.LAST_UPDATED_AT: ChatSession.last_updated_at,
    SessionSort.CREATED_AT: ChatSession.created_at,
    SessionSort.NAME: ChatSession.name_folded,
}


@dataclass(frozen=True)
class SessionListing:
    """Which sessions to list and in which order; the id decides between equals.

    With `pinned_first` those that are pinned come first, each part in this order.
    """

    filters: SessionFilters = SessionFilters()
    sort: SessionSort = SessionSort.LAST_UPDATED_AT
    order: Order = Order.DESC
    pinned_first: bool = False


def list_sessions(
    *,
    owner_id: str,
    limit: int,
    listing: SessionListing = SessionListing(),
    place: SessionPlace | None = None,
    offset: int = 0,
) -> Page[ChatSession]:
    """Return up to `limit` sessions after `place`, or before it if that looks back.

    `offset` passes over so many of them first.
    """
    is_backward = place is not None and place.backward
    chats: list[ChatSession] = []
    query = select_matching(select(ChatSession), listing.filters, owner_id=owner_id)
    for part, start, skipped in _parts(query, listing, place, offset):
        missing = limit + 1 - len(chats)  # the one more says whether there is a page
        rows = _walk(part, listing, start, is_backward).limit(missing).offset(skipped)
        chats += db.session.scalars(rows.execution_options(populate_existing=True))
        if len(chats) > limit:
            break
    page = chats[:limit][::-1] if is_backward else chats[:limit]
    more = len(chats) > limit
    return _page(
        page,
        listing,
        has_next=is_backward or more,
        has_previous=more if is_backward else bool(place or offset),
    )


def count_sessions(*, owner_id: str, filters: SessionFilters) -> int:
    """Return how many of the owner's sessions the filters let pass."""
    query = select_matching(select(func.count()), filters, owner_id=owner_id)
    return db.session.scalar(query.select_from(ChatSession)) or 0


Part = tuple[Select[Any], SessionPlace | None, int]


def _parts(
    query: Select[Any],
    listing: SessionListing,
    place: SessionPlace | None,
    offset: int,
) -> Sequence[Part]:
    """Return the queries that make up the list, each with where it begins.

    Pinned first, the list is two, one behind the other: no index has to have them
    in this order.
    """
    if not listing.pinned_first:
        return [(query, place, offset)]
    first, second = query.where(pinned_is(True)), query.where(pinned_is(False))
    if place is None:
        pinned = _count(first) if offset else 0
        return [(first, None, offset), (second, None, max(0, offset - pinned))]
    if place.backward:
        if place.pinned:
            return [(first, place, 0)]
        return [(second, place, 0), (first, None, 0)]
    if place.pinned:
        return [(first, place, 0), (second, None, 0)]
    return [(second, place, 0)]


def _count(query: Select[Any]) -> int:
    rows = query.with_only_columns(ChatSession.id).subquery()
    return db.session.scalar(select(func.count()).select_from(rows)) or 0


def _walk(
    query: Select[Any],
    listing: SessionListing,
    place: SessionPlace | None,
    is_backward: bool,
) -> Select[Any]:
    """Return `query` in the order of the list, or backward, beginning at `place`."""
    column = SORT_COLUMNS[listing.sort]
    is_falling = (listing.order is Order.DESC) != is_backward
    if place is not None:
        query = query.where(_is_beyond(column, place, is_falling))
    if is_falling:
        return query.order_by(column.desc(), ChatSession.id.desc())
    return query.order_by(column.asc(), ChatSession.id.asc())


def _is_beyond(
    column: InstrumentedAttribute[Any], place: SessionPlace, is_falling: bool
) -> ColumnElement[bool]:
    here = tuple_(literal(place.value, column.type), literal(place.id))
    key = tuple_(column, ChatSession.id)
    return key < here if is_falling else key > here


def _page(
    chats: list[ChatSession],
    listing: SessionListing,
    *,
    has_next: bool,
    has_previous: bool,
) -> Page[ChatSession]:
    if not chats:
        return Page(chats, None)
    next_place = _place_of(chats[-1], listing) if has_next else None
    first = replace(_place_of(chats[0], listing), backward=True)
    return Page(chats, next_place, first if has_previous else None)


def _place_of(chat: ChatSession, listing: SessionListing) -> SessionPlace:
    value = getattr(chat, SORT_COLUMNS[listing.sort].key)
    pinned = chat.pinned if listing.pinned_first else None
    return SessionPlace(value, chat.id, pinned)
