"""The declarative models; importing this package registers them all for Alembic."""

from chatstore.models.messages import Message
from chatstore.models.sessions import ChatSession

__all__ = ["ChatSession", "Message"]
