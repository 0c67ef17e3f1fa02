"""Tokens of the change feed: a position for the client to keep, signed as cursors are.

A token is valid for its owner only: in another owner's feed the place would skip
changes.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chatstore.errors import MalformedRequest
from chatstore.store.changes import FeedPosition, Kind
from chatstore.web.cursors import read_cursor, sign_cursor


@dataclass(frozen=True)
class _Changes:
    """The list of an owner's changes."""

    owner_id: str


def encode_token(position: FeedPosition, *, owner_id: str) -> str:
    """Return the owner's token of a position."""
    key = position.key.hex if isinstance(position.key, UUID) else position.key
    place = [
        position.feed_id.hex,
        position.change_id,
        int(position.kind),
        key,
        position.issued_at.isoformat(),
    ]
    return sign_cursor(place, listing=_Changes(owner_id))


def decode_token(token: str, *, owner_id: str) -> FeedPosition:
    """Return the position in the owner's token; raises MalformedRequest."""
    try:
        place = read_cursor(token, listing=_Changes(owner_id))
    except MalformedRequest:
        raise MalformedRequest(
            "This service did not create the token `since` for this owner."
        ) from None
    feed_id, change_id, kind, key, issued_at = place
    return FeedPosition(
        feed_id=UUID(feed_id),
        change_id=change_id,
        kind=Kind(kind),
        key=UUID(key) if isinstance(key, str) else key,
        issued_at=datetime.fromisoformat(issued_at),
    )
