"""The chat_messages table: one turn per row, numbered within its session by seq."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatstore.db import UtcDateTime, db
from chatstore.enums import Role
from chatstore.models.sessions import ChatSession

_ROLES = ", ".join(f"'{role}'" for role in Role)


def _fork_index(name: str, *columns: str) -> Index:
    """Return an index of the messages that do not follow the seq before theirs."""
    is_fork = text("parent_seq IS NOT NULL")
    return Index(name, *columns, sqlite_where=is_fork, postgresql_where=is_fork)


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
        _fork_index("ix_chat_messages_forks", "session_id", "seq", "parent_seq"),
        _fork_index("ix_chat_messages_siblings", "session_id", "parent_seq", "seq"),
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

    # The fields of a Chat Completions message that most messages lack, as sent.
    extra: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # The text that search finds, where it is more than the content: with tool calls.
    search_text: Mapped[str | None] = mapped_column(Text)
    # Seq of the message that this one follows, 0 if it begins the conversation. Null
    # if it follows `seq - 1`, as in a session without branches.
    parent_seq: Mapped[int | None]
    revision: Mapped[int] = mapped_column(server_default=text("1"))
    edited_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    feedback: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    session: Mapped[ChatSession] = relationship(back_populates="messages")

    def __repr__(self) -> str:
        return f"<Message {self.id} seq={self.seq} {self.role}: {self.content[:40]!r}>"
