"""Paging cursors: opaque to the client, signed so that a forged one is refused."""

from datetime import datetime
from uuid import UUID

from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from chatstore.errors import MalformedRequest
from chatstore.store.paging import SessionKey


def encode_cursor(key: SessionKey | None) -> str | None:
    """Return the cursor of the page after `key`; None stays None."""
    if key is None:
        return None
    text = _serializer().dumps([key.last_updated_at.isoformat(), key.id.hex])
    return text.decode() if isinstance(text, bytes) else text


def decode_cursor(cursor: str | None) -> SessionKey | None:
    """Return the key that `encode_cursor` was given; MalformedRequest if not ours."""
    if cursor is None:
        return None
    try:
        instant, session_id = _serializer().loads(cursor)
        return SessionKey(datetime.fromisoformat(instant), UUID(session_id))
    except (BadData, ValueError, TypeError):
        raise MalformedRequest(
            "The cursor is not one that this service gave out."
        ) from None


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="cursor")
