"""The chat_messages table: one turn per row, numbered within its session by seq."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatstore.db import UtcDateTime, db
from chatstore.enums import Role
from chatstore.models.sessions import ChatSession

_ROLES = ", ".join(f"'{role}'" for role in Role)


class Message(db.Model):  # type: ignore[name-defined, misc]
    """One turn. `seq` counts 1, 2, 3 … in commit order; `timestamp` grows with `seq`.

    The database column `metadata` is the attribute `metadata_`, because SQLAlchemy
    reserves the name `metadata`.
    """

    __tablename__ = "chat_messages"
    __table_args__ = (
        UniqueConstraint("session_id", "seq"),
        CheckConstraint(f"role IN ({_ROLES})", name="role"),
        CheckConstraint("seq >= 1", name="seq"),
        {"sqlite_autoincrement": True},  # never reuse an id
    )

    # SQLite assigns ids only in a column that is declared INTEGER.
    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True
    )
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE")
    )
    seq: Mapped[int]
    timestamp: Mapped[datetime] = mapped_column(UtcDateTime)
    role: Mapped[str] = mapped_column(String(16), default=Role.USER)
    content: Mapped[str] = mapped_column(Text)
    # JSONB turns a float such as 1e22 into an integer, so we use JSON.
    metadata_: Mapped[dict[str, Any] | None] = mapped_column(
        "metadata", JSON(none_as_null=True)
    )

    session: Mapped[ChatSession] = relationship(back_populates="messages")

    def __repr__(self) -> str:
        return f"<Message {self.id} seq={self.seq} {self.role}: {self.content[:40]!r}>"
