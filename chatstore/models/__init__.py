"""The declarative models; importing this package registers them all for Alembic."""

from chatstore.models.access import IdempotencyRecord
from chatstore.models.facets import SessionFacet
from chatstore.models.messages import Message
from chatstore.models.schema_support import SchemaSupport
from chatstore.models.sessions import ChatSession

__all__ = [
    "ChatSession",
    "IdempotencyRecord",
    "Message",
    "SchemaSupport",
    "SessionFacet",
]
