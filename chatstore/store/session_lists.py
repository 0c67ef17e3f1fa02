"""Lists of sessions: filtered, sorted, page by page in both directions; no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from chatstore.db import cached_per_database, db, read_connection
from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import Order, SessionSort
from chatstore.models import ChatSession
from chatstore.store.batches import fitting
from chatstore.store.filters import (
    FEW,
    SessionFilters,
    find_rare_facet,
    pinned_is,
    select_all_matching,
    select_matching,
)
from chatstore.store.json_rows import (
    Fields,
    as_instant,
    formatted,
    join_columns,
    join_rows,
    json_value,
    split_values,
    stored_bytes,
)
from chatstore.store.paging import Page, SessionPlace
from chatstore.store.sessions import is_in_trash, session_json
from chatstore.store.validators import LAST_CHANGES_OF_LISTS, parse_validator

SORT_COLUMNS: dict[SessionSort, InstrumentedAttribute[Any]] = {
    SessionSort.LAST_UPDATED_AT: ChatSession.last_updated_at,
    SessionSort.CREATED_AT: ChatSession.created_at,
    SessionSort.NAME: ChatSession.name_folded,
}


# Most bytes of the sessions in a page. The database builds at most twice as many.
PAGE_BYTES = 8 * 1024 * 1024
# Bound for the JSON of a session without documents, tags and metadata: four texts of at
# most 255 characters, which JSON may escape, and small members.
_REST_BYTES = 7000


@dataclass(frozen=True)
class SessionListing:
    """The filters and the order of a list of sessions; the id breaks ties.

    With `pinned_first` the pinned sessions come first; both parts have this order. With
    `trash` the list has the sessions in the trash instead, by the time of their
    deletion, without filters; None is false, so that older cursors stay valid.
    """

    filters: SessionFilters = SessionFilters()
    sort: SessionSort = SessionSort.LAST_UPDATED_AT
    order: Order = Order.DESC
    pinned_first: bool = False
    trash: bool | None = None

    @property
    def sort_column(self) -> InstrumentedAttribute[Any]:
        """The column that the list is sorted by."""
        return ChatSession.trashed_at if self.trash else SORT_COLUMNS[self.sort]


def list_sessions(
    *,
    owner_id: str,
    limit: int,
    listing: SessionListing = SessionListing(),
    place: SessionPlace | None = None,
    offset: int = 0,
    fields: Fields | None = None,
    page_bytes: int = PAGE_BYTES,
    few: int = FEW,
) -> Page[str]:
    """Return up to `limit` sessions after `place`, or before a backward `place`.

    Each item is JSON text, with these `fields` or all. The page skips the first
    `offset` sessions. It holds at most `page_bytes`, or one larger session. A tag or
    document that at most `few` sessions have is looked up first.
    """
    is_backward = place is not None and place.backward
    walks = _walks(listing, place)
    filters = listing.filters
    shape = replace(listing, filters=filters.shape())
    # We ask for one session more than fits, to know whether there is another page.
    parameters: dict[str, Any] = {"limit": limit + 1, "offset": offset}
    parameters["share"] = page_bytes // limit
    parameters |= {"the_owner": owner_id, **filters.parameters()}
    if place is not None:
        parameters |= {"place_value": place.value, "place_id": place.id}
    with read_connection() as connection:
        rare = find_rare_facet(connection, filters, owner_id=owner_id, few=few)
        prepared = _prepare(shape, walks, rare, fields)
        parts = prepared.rows(connection, parameters)
        values = [value for _, joined, _ in parts for value in split_values(joined)]
        chats = list(map(_parse_listed, values[::2], values[1::2]))
        page = _first_page(chats[:limit], page_bytes)
        texts = _read_json(connection, page, listing, owner_id, fields)
    validator = parse_validator(parts[0][2])
    has_more = len(chats) > len(page)
    if is_backward:
        page.reverse()
        texts.reverse()
    if not page and place is not None:
        # All sessions beyond the place were deleted, so only the way back is left.
        back = _place_back(place, listing)
        next_place, previous = (back, None) if is_backward else (None, back)
        return Page([], next_place, previous, validator)
    found = _page(
        page,
        texts,
        listing,
        has_next=is_backward or has_more,
        has_previous=has_more if is_backward else bool(place or offset),
    )
    return replace(found, validator=validator)


def count_trash(*, owner_id: str) -> int:
    """Return how many sessions are in the owner's trash."""
    return db.session.scalar(select(func.count()).where(is_in_trash(owner_id))) or 0


def count_sessions(*, owner_id: str, filters: SessionFilters) -> int:
    """Return how many of the owner's sessions match the filters."""
    query = select_all_matching(select(func.count()), filters, owner_id=owner_id)
    return db.session.scalar(query.select_from(ChatSession)) or 0


_OFFSET = bindparam("offset", type_=Integer)

Walks = tuple["_Walk", ...]


def _walks(listing: SessionListing, place: SessionPlace | None) -> Walks:
    """Return the walks through the list, one after the other.

    A list with pinned sessions first takes two walks, so no index needs its order.
    """
    is_backward = place is not None and place.backward
    if not listing.pinned_first:
        return (_Walk(None, is_backward, has_start=place is not None),)
    if place is None:
        return tuple(_Walk(each, False, has_start=False) for each in (True, False))
    first = _Walk(place.pinned, is_backward, has_start=True)
    if place.pinned is is_backward:  # the walk has passed the other part
        return (first,)
    return (first, _Walk(not place.pinned, is_backward, has_start=False))


class _LargeSession(NamedTuple):
    """A session that is larger than its share of a page, without its JSON."""

    id: UUID
    pinned: bool
    list_bytes: int


class _ListedSession(NamedTuple):
    """The JSON of a session, or its size if large, and the JSON of its sort value.

    If the session's JSON has chosen fields only, the key is a list of the sort value,
    the id and whether the session is pinned.
    """

    item: str | _LargeSession
    key: str

    def size(self) -> int:
        """Return the bytes of the session's JSON, or a bound for them."""
        if isinstance(self.item, _LargeSession):
            return self.item.list_bytes + _REST_BYTES
        return len(self.item.encode())


def _parse_listed(item: str, key: str) -> _ListedSession:
    if item.startswith("{"):
        return _ListedSession(item, key)
    session_id, pinned, list_bytes = orjson.loads(item)
    return _ListedSession(_LargeSession(UUID(session_id), pinned, list_bytes), key)


def _first_page(
    chats: Sequence[_ListedSession], page_bytes: int
) -> list[_ListedSession]:
    """Return the first sessions, as many as fit into a page: at least one."""
    texts = [chat.item for chat in chats if isinstance(chat.item, str)]
    # A character has 4 bytes at most, so most pages need no closer look.
    if len(texts) == len(chats) and sum(map(len, texts)) <= page_bytes // 4:
        return list(chats)
    return fitting(chats, _ListedSession.size, page_bytes)


def _read_json(
    connection: Connection,
    chats: Sequence[_ListedSession],
    listing: SessionListing,
    owner_id: str,
    fields: Fields | None,
) -> list[str]:
    """Return the JSON of the sessions that still exist."""
    ids = [chat.item.id for chat in chats if isinstance(chat.item, _LargeSession)]
    large: dict[UUID, str] = {}
    if ids:
        is_owned = is_in_trash(owner_id) if listing.trash else _is_listed(owner_id)
        query = select(ChatSession.id, _json_of(listing, fields)).where(
            is_owned, ChatSession.id.in_(ids)
        )
        large = {row[0]: row[1] for row in connection.execute(query)}
    texts = (
        large.get(chat.item.id) if isinstance(chat.item, _LargeSession) else chat.item
        for chat in chats
    )
    return [text for text in texts if text is not None]


def _is_listed(owner_id: str) -> ColumnElement[bool]:
    return ChatSession.owner_id == owner_id


def _json_of(listing: SessionListing, fields: Fields | None) -> ColumnElement[str]:
    return session_json(fields, is_trashed=bool(listing.trash))


class _Walk(NamedTuple):
    """A pass over a part of a list, its direction, and whether it has a start place."""

    pinned: bool | None
    is_backward: bool
    has_start: bool


@cached_per_database(maxsize=256)  # compiling a statement costs more than running it
def _prepare(
    listing: SessionListing,
    walks: Walks,
    rare_facet: int | None,
    fields: Fields | None,
) -> Prepared:
    """Return one statement for the walks through lists of this shape."""
    owner_id = bindparam("the_owner", type_=ChatSession.owner_id.type)
    rows = _select_rows(listing, fields)
    if listing.trash:
        rows = rows.where(is_in_trash(owner_id))
    else:
        rows = select_matching(
            rows, listing.filters, owner_id=owner_id, rare_facet=rare_facet
        )
    return Prepared(_select_walks(listing, rows, walks))


def _select_rows(listing: SessionListing, fields: Fields | None) -> Select[Any]:
    kind = "text" if listing.sort is SessionSort.NAME else "instant"
    key: ColumnElement[str] = json_value(kind, listing.sort_column)
    if fields is not None:
        key = formatted(literal_column("'[%s,%s,%s]'"), key, _ID_JSON, _PINNED_JSON)
    columns: list[Any] = [
        join_columns(_select_item(listing, fields), key).label("item"),
        listing.sort_column.label("sort"),
        ChatSession.id.label("id"),
    ]
    return select(*columns)


# Only these columns make a session large. SQLite knows their size without reading them,
# so a session that is larger than its share costs next to nothing here.
_LARGE_COLUMNS = {
    "rag_document_ids": ChatSession.rag_document_ids,
    "metadata_tags": ChatSession.metadata_tags,
    "metadata": ChatSession.metadata_,
}
_SHARE = bindparam("share", type_=Integer)
_ID_JSON = json_value("uuid", ChatSession.id)
_PINNED_JSON = json_value("boolean", ChatSession.pinned)


def _select_item(listing: SessionListing, fields: Fields | None) -> ColumnElement[str]:
    """Return SQL for the JSON of a session, or for its size if it is large."""
    large = [
        column
        for name, column in _LARGE_COLUMNS.items()
        if fields is None or name in fields
    ]
    item = _json_of(listing, fields)
    if not large:
        return item
    size = stored_bytes(*large)
    large_json = formatted(literal_column("'[%s,%s,%s]'"), _ID_JSON, _PINNED_JSON, size)
    return case((size <= _SHARE, item), else_=large_json)


def _select_walks(
    listing: SessionListing, rows: Select[Any], walks: Walks
) -> Select[Any]:
    """Return a query with a row (number, joined sessions, last changes) per walk."""
    parts: list[Select[Any]] = []
    for number, walk in enumerate(walks):
        offset = _OFFSET if number == 0 else _remaining_offset(rows, walks[0])
        found = _select_walk(listing, rows, walk, offset).subquery().c
        is_descending = _is_descending(listing, walk)
        item = join_rows(
            found.item,
            by=[found.sort, found.id],
            is_descending=is_descending,
        )
        numbered: list[Any] = [literal_column(str(number)).label("number"), item]
        parts.append(select(*numbered))
    if len(parts) == 1:
        return parts[0].add_columns(LAST_CHANGES_OF_LISTS)
    whole = union_all(*parts).subquery()
    return select(*whole.c, LAST_CHANGES_OF_LISTS).order_by(whole.c.number)


def _remaining_offset(rows: Select[Any], first: _Walk) -> ColumnElement[int]:
    """Return SQL for the offset in a list's second part: `max(0, offset - pinned)`."""
    if first.has_start:
        return literal_column("0")
    pinned = rows.with_only_columns(func.count()).where(pinned_is(True))
    rest = _OFFSET - pinned.scalar_subquery()
    return case((rest > 0, rest), else_=literal_column("0"))


def _select_walk(
    listing: SessionListing,
    rows: Select[Any],
    walk: _Walk,
    offset: ColumnElement[int],
) -> Select[Any]:
    if walk.pinned is not None:
        rows = rows.where(pinned_is(walk.pinned))
    column = listing.sort_column
    is_descending = _is_descending(listing, walk)
    if walk.has_start:
        rows = rows.where(_is_beyond(column, is_descending))
    if is_descending:
        rows = rows.order_by(column.desc(), ChatSession.id.desc())
    else:
        rows = rows.order_by(column.asc(), ChatSession.id.asc())
    return bounded(rows, bindparam("limit"), offset)


def _is_descending(listing: SessionListing, walk: _Walk) -> bool:
    return (listing.order is Order.DESC) != walk.is_backward


def _is_beyond(
    column: InstrumentedAttribute[Any], is_descending: bool
) -> ColumnElement[bool]:
    here = tuple_(
        bindparam("place_value", type_=column.type),
        bindparam("place_id", type_=ChatSession.id.type),
    )
    key = tuple_(column, ChatSession.id)
    return key < here if is_descending else key > here


def _page(
    chats: list[_ListedSession],
    texts: list[str],
    listing: SessionListing,
    *,
    has_next: bool,
    has_previous: bool,
) -> Page[str]:
    if not chats:
        return Page(texts, None)
    next_place = _place_of(chats[-1], listing) if has_next else None
    previous = None
    if has_previous:
        previous = replace(_place_of(chats[0], listing), backward=True)
    return Page(texts, next_place, previous)


def _place_back(place: SessionPlace, listing: SessionListing) -> SessionPlace:
    """Return the place to read from in the other direction, including `place`.

    A page excludes the session at its place, so the new place has the next id.
    """
    is_descending = (listing.order is Order.DESC) == place.backward
    neighbour = UUID(int=place.id.int + (1 if is_descending else -1))
    return replace(place, id=neighbour, backward=not place.backward)


def _place_of(chat: _ListedSession, listing: SessionListing) -> SessionPlace:
    value, session_id, pinned = _sort_key(chat)
    if listing.sort is not SessionSort.NAME:
        value = as_instant(value)
    return SessionPlace(value, session_id, pinned if listing.pinned_first else None)


def _sort_key(chat: _ListedSession) -> tuple[Any, UUID, bool]:
    """Return the sort value and the id of a session, and whether it is pinned."""
    key = orjson.loads(chat.key)
    if isinstance(key, list):
        value, session_id, pinned = key
        return value, UUID(session_id), pinned
    if isinstance(chat.item, _LargeSession):
        return key, chat.item.id, chat.item.pinned
    item = orjson.loads(chat.item)
    return key, UUID(item["id"]), item["pinned"]
