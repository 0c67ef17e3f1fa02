"""The tables of the change feed. Triggers write them, so that no writer can forget one.

Each change of a session, each changed message and each deletion gets a `change_id`. On
SQLite it counts the changes, in commit order. On PostgreSQL it is the id of the
transaction, so changes of one transaction share it, and the changes below the oldest
running transaction's id are complete. Migration 0011 has the triggers.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import UtcDateTime, db


class ChangeFeed(db.Model):  # type: ignore[name-defined, misc]
    """One row: which feed this is, and the last change of a SQLite database."""

    __tablename__ = "change_feed"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # A restored database gets a new one, because its changes are counted again.
    feed_id: Mapped[UUID]
    last_change_id: Mapped[int] = mapped_column(BigInteger)


class MessageChange(db.Model):  # type: ignore[name-defined, misc]
    """The last change of a message that was edited, deleted or rated."""

    __tablename__ = "message_changes"
    __table_args__ = (
        Index(
            "ix_message_changes_owner_id_change_id_message_id",
            "owner_id",
            "change_id",
            "message_id",
        ),
    )

    message_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"),
        ForeignKey("chat_messages.id", ondelete="CASCADE"),
        primary_key=True,
    )
    owner_id: Mapped[str] = mapped_column(Text)
    session_id: Mapped[UUID]
    seq: Mapped[int]
    change_id: Mapped[int] = mapped_column(BigInteger)


class SessionTombstone(db.Model):  # type: ignore[name-defined, misc]
    """A session that its owner does not see any more.

    Another owner may create a session with the id later, so both are the key.
    """

    __tablename__ = "session_tombstones"
    __table_args__ = (
        Index(
            "ix_session_tombstones_owner_id_change_id_session_id",
            "owner_id",
            "change_id",
            "session_id",
        ),
        Index("ix_session_tombstones_deleted_at", "deleted_at", "session_id"),
    )

    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(Text, primary_key=True)
    change_id: Mapped[int] = mapped_column(BigInteger)
    deleted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # The session's last revision before.
    revision: Mapped[int]
