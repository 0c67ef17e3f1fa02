"""Paging cursors: opaque to the client, signed so that a forged one is refused.

A cursor holds a place in one list of one owner. With other filters or another order,
the place would mean something else. For another owner, it would show where a session
of somebody else is. So the cursor is refused.
"""

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from chatstore.enums import SessionSort
from chatstore.errors import MalformedRequest
from chatstore.store.paging import SessionPlace
from chatstore.store.session_lists import SessionListing
from chatstore.web.auth import current_owner


def encode_cursor(place: SessionPlace | None, listing: SessionListing) -> str | None:
    """Return the cursor of the page that begins at `place`; None stays None."""
    if place is None:
        return None
    value = place.value
    text = value.isoformat() if isinstance(value, datetime) else value
    return sign_cursor(
        [text, place.id.hex, place.pinned, place.backward], listing=listing
    )


def decode_cursor(cursor: str | None, listing: SessionListing) -> SessionPlace | None:
    """Return the place in `cursor`; MalformedRequest unless it is of this listing."""
    if cursor is None:
        return None
    text, session_id, pinned, is_backward = read_cursor(cursor, listing=listing)
    is_name = listing.sort is SessionSort.NAME
    value = text if is_name else datetime.fromisoformat(text)
    return SessionPlace(value, UUID(session_id), pinned, is_backward)


def sign_cursor(place: list[Any], *, listing: object) -> str:
    """Return a signed cursor for `place` in the list that `listing` describes.

    `listing` is a dataclass. The cursor is valid for equal values of the same class,
    and for the owner of this request.
    """
    text = _serializer(current_app.config["SECRET_KEY"]).dumps(
        [_digest(listing, current_owner()), *place]
    )
    return text.decode() if isinstance(text, bytes) else text


def read_cursor(cursor: str, *, listing: object) -> list[Any]:
    """Return the place in a cursor of `sign_cursor`; MalformedRequest for any other."""
    try:
        digest, *place = _serializer(current_app.config["SECRET_KEY"]).loads(cursor)
    except (BadData, ValueError, TypeError):
        raise MalformedRequest("This service did not create the cursor.") from None
    if digest != _digest(listing, current_owner()):
        raise MalformedRequest(
            "The cursor belongs to a list with other filters, of another order or"
            " of another owner."
        )
    return list(place)


@lru_cache(maxsize=256)
def _digest(listing: Any, owner_id: str) -> str:
    # We sort the fields and omit None, so that cursors survive a new optional filter
    # or a new order of the fields.
    members = asdict(listing, dict_factory=_without_none)
    form = [owner_id, type(listing).__name__, members]
    text = orjson.dumps(
        form,
        default=_in_utc,
        option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME,
    )
    return hashlib.sha256(text).hexdigest()[:16]


def _without_none(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in members if value is not None}


def _in_utc(value: Any) -> str:
    # Equal instants in two zones share an entry of the cache, so they need one text.
    if not isinstance(value, datetime):
        raise TypeError(f"no canonical form of {type(value).__name__}")
    return value.astimezone(UTC).isoformat()


@lru_cache(maxsize=1)
def _serializer(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt="cursor-2")
