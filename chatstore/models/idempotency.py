"""The idempotency_records table: answers to POSTs with an Idempotency-Key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import UtcDateTime, db

KEY_LENGTH = 255


class IdempotencyRecord(db.Model):  # type: ignore[name-defined, misc]
    """One key of one owner, and the answer to the first request with this key.

    `status` and `answer` are null only inside the transaction that writes the row. If a
    message in the answer was deleted, `status` is 410, and `answer` and `body_sha256`
    are empty.
    """

    __tablename__ = "idempotency_records"
    __table_args__ = (
        Index(
            "ix_idempotency_records_owner_id_request_first_seq",
            "owner_id",
            "request",
            "first_seq",
        ),
        Index(
            "ix_idempotency_records_session_id",
            "session_id",
            sqlite_where=text("session_id IS NOT NULL"),
            postgresql_where=text("session_id IS NOT NULL"),
        ),
    )

    owner_id: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    request: Mapped[str] = mapped_column(Text)
    body_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    answer: Mapped[str | None] = mapped_column(Text)
    headers: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    # The seqs of the messages in the answer; null if it has none.
    first_seq: Mapped[int | None]
    last_seq: Mapped[int | None]
    # The session that the request created, if it has messages: the answer shows one.
    # An append leaves it null, because `request` names the session.
    session_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
