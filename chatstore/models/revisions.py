"""The message_revisions table: what messages said before they were edited."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import UtcDateTime, db


class MessageRevision(db.Model):  # type: ignore[name-defined, misc]
    """An earlier revision of a message, written at `written_at`."""

    __tablename__ = "message_revisions"

    message_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"),
        ForeignKey("chat_messages.id", ondelete="CASCADE"),
        primary_key=True,
    )
    revision: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[str] = mapped_column(Text)
    extra: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    metadata_: Mapped[dict[str, Any] | None] = mapped_column(
        "metadata", JSON(none_as_null=True)
    )
    written_at: Mapped[datetime] = mapped_column(UtcDateTime)
