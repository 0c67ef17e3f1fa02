"""Compares the bytes that sessions count with those of their messages."""

from collections.abc import Iterator

from sqlalchemy import select

from chatstore.db import db
from chatstore.models import ChatSession
from chatstore.store.content_bytes import CONTENT_BYTES
from chatstore.store.deletions import IS_WHOLE


def find_wrong_bytes() -> Iterator[str]:
    """Yield a sentence for each session whose bytes differ from its messages'."""
    columns = (ChatSession.id, ChatSession.content_bytes, CONTENT_BYTES)
    is_wrong = ChatSession.content_bytes != CONTENT_BYTES
    query = select(*columns).where(IS_WHOLE, is_wrong)
    for chat_id, counted, found in db.session.execute(
        query, execution_options={"yield_per": 1000}
    ):
        yield f"session {chat_id} counts {counted} bytes, but its messages have {found}"
