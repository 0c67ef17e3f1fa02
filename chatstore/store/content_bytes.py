"""SQL for the bytes of a session's messages, as they are stored; no queries."""

from sqlalchemy import func, join, select

from chatstore.models import ChatSession, Message, MessageRevision
from chatstore.store.json_rows import stored_bytes

_PARTS = (
    func.coalesce(
        select(func.sum(stored_bytes(model.content, model.metadata_, model.extra)))
        .select_from(source)
        .where(Message.session_id == ChatSession.id)
        .correlate(ChatSession)
        .scalar_subquery(),
        0,
    )
    for model, source in (
        (Message, Message),
        (
            MessageRevision,
            join(Message, MessageRevision, MessageRevision.message_id == Message.id),
        ),
    )
)
_SAYING, _SAID_BEFORE = _PARTS
# The texts and JSON of a session's messages, with what they said before they were
# edited. `ChatSession.content_bytes` keeps it.
CONTENT_BYTES = _SAYING + _SAID_BEFORE
