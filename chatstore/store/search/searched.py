"""The text of a message that search finds, as SQL."""

from sqlalchemy import Integer, func

from chatstore.models import Message

SEARCHED = func.coalesce(Message.search_text, Message.content)
# SQLite knows the size of a bare column without reading it, so each has its own.
SEARCHED_BYTES = func.coalesce(
    func.octet_length(Message.search_text, type_=Integer),
    func.octet_length(Message.content, type_=Integer),
)
