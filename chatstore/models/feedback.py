"""The message_feedback table: the rated messages of an owner, to list them.

Rows are derived from the messages' feedback, in the same transaction.
"""

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import db


class MessageFeedback(db.Model):  # type: ignore[name-defined, misc]
    """The rating of one message; null if there is only a comment or a label."""

    __tablename__ = "message_feedback"
    __table_args__ = (
        Index("ix_message_feedback_owner_id_message_id", "owner_id", "message_id"),
    )

    message_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"),
        ForeignKey("chat_messages.id", ondelete="CASCADE"),
        primary_key=True,
    )
    owner_id: Mapped[str] = mapped_column(Text)
    rating: Mapped[int | None]
