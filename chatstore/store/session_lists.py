"""Lists of sessions: filtered, sorted, page by page in both directions; no HTTP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    select,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute

from chatstore.db import db, read_connection
from chatstore.driver import Prepared, bounded
from chatstore.enums import Order, SessionSort
from chatstore.models import ChatSession
from chatstore.store.filters import SessionFilters, pinned_is, select_matching
from chatstore.store.paging import Page, SessionPlace
from chatstore.store.sent import apart, in_one, json_value
from chatstore.store.sessions import SENT_SESSION

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
) -> Page[str]:
    """Return up to `limit` sessions after `place`, or before it if that looks back.

    Each is the JSON that is sent.
    `offset` passes over so many of them first.
    """
    is_backward = place is not None and place.backward
    if listing.pinned_first:
        db.session.connection()  # two statements: of one snapshot, where there is one
    chats: list[_Sent] = []
    run_walk = _running(listing, owner_id)
    for pinned, start, skipped in _parts(listing, place, offset, owner_id):
        missing = limit + 1 - len(chats)  # the one more says whether there is a page
        run = run_walk(_Walk(pinned, is_backward, has_start=start is not None))
        named: dict[str, Any] = {
            "the_owner": owner_id,
            "most": missing,
            "skipped": skipped,
        }
        if start is not None:
            named |= {"place_value": start.value, "place_id": start.id}
        with read_connection() as connection:
            ((texts, keys),) = run(connection, named)
        chats += map(_Sent, apart(texts), apart(keys))
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


Run = Callable[[Connection, Mapping[str, Any]], Sequence[Any]]
Part = tuple[bool | None, SessionPlace | None, int]


def _parts(
    listing: SessionListing, place: SessionPlace | None, offset: int, owner_id: str
) -> Sequence[Part]:
    """Return the parts of the list: which (None is all), and where each begins.

    Pinned first, the list is two, one behind the other: no index has to have them
    in this order.
    """
    if not listing.pinned_first:
        return [(None, place, offset)]
    if place is None:
        pinned = _count_pinned(listing, owner_id) if offset else 0
        return [(True, None, offset), (False, None, max(0, offset - pinned))]
    if place.backward:
        if place.pinned:
            return [(True, place, 0)]
        return [(False, place, 0), (True, None, 0)]
    if place.pinned:
        return [(True, place, 0), (False, None, 0)]
    return [(False, place, 0)]


def _count_pinned(listing: SessionListing, owner_id: str) -> int:
    query = select_matching(
        select(func.count()), listing.filters, owner_id=owner_id
    ).where(pinned_is(True))
    return db.session.scalar(query.select_from(ChatSession)) or 0


class _Sent(NamedTuple):
    """A session as the JSON that is sent, and that of what it is sorted by."""

    text: str
    key: str


class _Walk(NamedTuple):
    """A way through a list: which part of it, which way, and whether from a place."""

    pinned: bool | None
    is_backward: bool
    has_start: bool


def _running(listing: SessionListing, owner_id: str) -> Callable[[_Walk], Run]:
    """Return what makes what runs a walk through this list."""
    if not listing.filters.facets():
        return lambda walk: _prepare_any_walk(listing, walk).rows
    # How to look for facets is asked for each time.
    rows = select_matching(_sent(listing), listing.filters, owner_id=owner_id)
    return lambda walk: partial(_run, in_one(_select_walk(listing, rows, walk)))


def _run(
    query: Select[Any], connection: Connection, named: Mapping[str, Any]
) -> Sequence[Any]:
    return connection.execute(query, named).all()


@lru_cache(maxsize=256)  # making it costs more than running it
def _prepare_any_walk(listing: SessionListing, walk: _Walk) -> Prepared:
    owner = bindparam("the_owner", type_=ChatSession.owner_id.type)
    rows = select_matching(_sent(listing), listing.filters, owner_id=owner)
    return Prepared(in_one(_select_walk(listing, rows, walk)))


def _sent(listing: SessionListing) -> Select[Any]:
    kind = "text" if listing.sort is SessionSort.NAME else "instant"
    key = json_value(kind, SORT_COLUMNS[listing.sort])
    columns: list[Any] = [SENT_SESSION.label("sent"), key.label("key")]
    return select(*columns)


def _select_walk(
    listing: SessionListing, rows: Select[Any], walk: _Walk
) -> Select[Any]:
    if walk.pinned is not None:
        rows = rows.where(pinned_is(walk.pinned))
    column = SORT_COLUMNS[listing.sort]
    is_falling = (listing.order is Order.DESC) != walk.is_backward
    if walk.has_start:
        rows = rows.where(_is_beyond(column, is_falling))
    if is_falling:
        rows = rows.order_by(column.desc(), ChatSession.id.desc())
    else:
        rows = rows.order_by(column.asc(), ChatSession.id.asc())
    return bounded(rows, bindparam("most"), bindparam("skipped"))


def _is_beyond(
    column: InstrumentedAttribute[Any], is_falling: bool
) -> ColumnElement[bool]:
    here = tuple_(
        bindparam("place_value", type_=column.type),
        bindparam("place_id", type_=ChatSession.id.type),
    )
    key = tuple_(column, ChatSession.id)
    return key < here if is_falling else key > here


def _page(
    chats: list[_Sent],
    listing: SessionListing,
    *,
    has_next: bool,
    has_previous: bool,
) -> Page[str]:
    texts = [chat.text for chat in chats]
    if not chats:
        return Page(texts, None)
    next_place = _place_of(chats[-1], listing) if has_next else None
    previous = None
    if has_previous:
        previous = replace(_place_of(chats[0], listing), backward=True)
    return Page(texts, next_place, previous)


def _place_of(chat: _Sent, listing: SessionListing) -> SessionPlace:
    sent, value = orjson.loads(chat.text), orjson.loads(chat.key)
    if listing.sort is not SessionSort.NAME:
        value = datetime.fromisoformat(value)
    pinned = sent["pinned"] if listing.pinned_first else None
    return SessionPlace(value, UUID(sent["id"]), pinned)
