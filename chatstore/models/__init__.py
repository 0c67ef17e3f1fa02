"""The declarative models; importing this package registers them all for Alembic."""

from chatstore.models.access import ApiKey, AuditEntry, LoginSession, Share
from chatstore.models.changes import ChangeFeed, MessageChange, SessionTombstone
from chatstore.models.facets import SessionFacet
from chatstore.models.feedback import MessageFeedback
from chatstore.models.idempotency import IdempotencyRecord
from chatstore.models.jobs import Job
from chatstore.models.messages import Message
from chatstore.models.revisions import MessageRevision
from chatstore.models.sessions import ChatSession
from chatstore.models.usage import UsageCount, UsageProgress

__all__ = [
    "ApiKey",
    "AuditEntry",
    "ChangeFeed",
    "ChatSession",
    "IdempotencyRecord",
    "Job",
    "LoginSession",
    "Message",
    "MessageChange",
    "MessageFeedback",
    "MessageRevision",
    "SessionFacet",
    "SessionTombstone",
    "Share",
    "UsageCount",
    "UsageProgress",
]
