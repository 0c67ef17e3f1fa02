"""Compares the token sums of sessions with the `usage` of their messages."""

from collections.abc import Iterator

from sqlalchemy import and_, or_, select

from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.store.deletions import IS_WHOLE
from chatstore.store.tokens import INPUT_TOKENS, OUTPUT_TOKENS, summed


def find_wrong_tokens() -> Iterator[str]:
    """Yield a sentence for each session whose sums differ from its messages'."""
    sums = [
        select(summed(each))
        .where(Message.session_id == ChatSession.id, Message.extra.is_not(None))
        .correlate(ChatSession)
        .scalar_subquery()
        for each in (INPUT_TOKENS, OUTPUT_TOKENS)
    ]
    stored = [ChatSession.input_tokens, ChatSession.output_tokens]
    is_wrong = or_(*(kept != found for kept, found in zip(stored, sums, strict=True)))
    query = select(ChatSession.id, *stored, *sums).where(and_(IS_WHOLE, is_wrong))
    for row in db.session.execute(query, execution_options={"yield_per": 1000}):
        chat_id, *counts = row
        yield (
            "session {} has {} input and {} output tokens, but its messages have {} and"
            " {}".format(chat_id, *counts)
        )
