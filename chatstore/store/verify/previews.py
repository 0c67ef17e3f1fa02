"""Compares the previews of sessions with their messages."""

from collections.abc import Iterator

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import aliased

from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import PREVIEW_LENGTH
from chatstore.store.deletions import IS_WHOLE
from chatstore.store.previews import READABLE

# The white space that str.strip() removes.
_WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))


def find_wrong_previews() -> Iterator[str]:
    """Yield a sentence for each session whose preview is no text that it should be.

    The preview is the beginning of the last text that a person reads. Earlier versions
    took the last message of any role, with white space around it. A message that gives
    no preview leaves the one before, so a later message may have given it too.
    """
    preview = ChatSession.last_message_preview
    readable_seq = (
        select(Message.seq)
        .where(
            Message.session_id == ChatSession.id,
            Message.role.in_(READABLE),
            func.trim(Message.content, _WHITE_SPACE) != "",
        )
        .order_by(Message.seq.desc())
        .limit(1)
        .correlate(ChatSession)
        .scalar_subquery()
    )
    giver = aliased(Message)
    text = func.trim(giver.content, _WHITE_SPACE)
    is_given = exists().where(
        giver.session_id == ChatSession.id,
        giver.seq >= func.coalesce(readable_seq, 1),
        or_(
            preview == func.substr(giver.content, 1, PREVIEW_LENGTH),
            preview == func.substr(text, 1, PREVIEW_LENGTH),
        ),
    )
    # The search for another text is bounded after an edit or a deletion, so there may
    # be an older one although there is no preview.
    is_missing = preview.is_(None) & (readable_seq == ChatSession.last_seq)
    query = select(ChatSession.id).where(
        IS_WHOLE, or_(is_missing, preview.is_not(None) & ~is_given)
    )
    for chat_id in db.session.scalars(query, execution_options={"yield_per": 1000}):
        yield f"session {chat_id}: the preview is not the beginning of the last text"
