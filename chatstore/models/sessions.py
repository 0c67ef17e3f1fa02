"""The sessions table: one conversation per row, with all that a list shows."""

import itertools
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Index,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chatstore.db import JsonObject, UtcDateTime, db

if TYPE_CHECKING:
    from chatstore.models.messages import Message

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAME_LENGTH = 255
PREVIEW_LENGTH = 200
EXTERNAL_ID_LENGTH = 255
# Owner ids of sessions being deleted, of forks being copied and of sessions in the
# trash. No caller can have them.
DELETED_OWNER, COPYING_OWNER, TRASH_OWNER = "", " ", "  "
# A version without external ids keeps them in the sessions that it hides, which all
# have one owner, so the unique index leaves hidden sessions out.
_HAS_EXTERNAL_ID = "external_id IS NOT NULL AND former_owner_id IS NULL"


# A folded name is cut to this length so that it fits into an index entry.
FOLDED_LENGTH = 500


def _listing_index(name: str, *columns: str, where: str | None = None) -> Index:
    """Return an index in the order of one kind of session list."""
    return Index(
        f"ix_sessions_{name}",
        *columns,
        # SQLite uses an index only if a query repeats its condition, and queries write
        # true as 1 there.
        sqlite_where=text(where.replace("true", "1")) if where else None,
        postgresql_where=text(where) if where else None,
    )


# The time takes 52 of a number's 63 bits until the year 2112, which leaves 11.
_COUNT_BITS = 11
# Two processes with equal counts would collide again and again, so each process starts
# at a random count.
_count = itertools.count(secrets.randbelow(2**_COUNT_BITS))


def new_number(created_at: datetime) -> int:
    """Return `(µs since 1970) << 11 | count`, greater than older sessions' numbers.

    `count` tells apart the sessions of one microsecond. If another process draws the
    same number, the unique index refuses it, and the transaction is run again.
    """
    microseconds = (created_at - _EPOCH) // timedelta(microseconds=1)
    count: int = next(_count) % 2**_COUNT_BITS
    # The modulo keeps the number in range if the clock is centuries wrong.
    return (microseconds << _COUNT_BITS | count) % 2**63


def _default_number(context: Any) -> int | None:
    created_at = context.get_current_parameters()["created_at"]
    if created_at is None or created_at.tzinfo is None:
        return None  # the column created_at refuses the row
    return new_number(created_at)


class ChatSession(db.Model):  # type: ignore[name-defined, misc]
    """One conversation. The database deletes its messages with it."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("message_count >= 0", name="message_count"),
        CheckConstraint("last_seq >= 0", name="last_seq"),
        CheckConstraint("revision >= 1", name="revision"),
        Index(
            "ix_sessions_owner_id_last_updated_at_id",
            "owner_id",
            "last_updated_at",
            "id",
        ),
        _listing_index("created_at", "owner_id", "created_at", "id"),
        _listing_index("name", "owner_id", "name_folded", "id"),
        _listing_index("model", "owner_id", "llm_model_name", "last_updated_at", "id"),
        _listing_index(
            "active", "owner_id", "last_updated_at", "id", where="archived_at IS NULL"
        ),
        _listing_index(
            "archived",
            "owner_id",
            "last_updated_at",
            "id",
            where="archived_at IS NOT NULL",
        ),
        Index(
            "ix_sessions_external_id",
            "owner_id",
            "external_id",
            unique=True,
            sqlite_where=text(_HAS_EXTERNAL_ID),
            postgresql_where=text(_HAS_EXTERNAL_ID),
        ),
        _listing_index(
            "pinned", "owner_id", "last_updated_at", "id", where="pinned = true"
        ),
        _listing_index("changes", "owner_id", "change_id", "id"),
        _listing_index(
            "trash",
            "former_owner_id",
            "trashed_at",
            "id",
            where="trashed_at IS NOT NULL",
        ),
        _listing_index(
            "trashed_at", "trashed_at", "id", where="trashed_at IS NOT NULL"
        ),
        _listing_index(
            "expires_at", "expires_at", "id", where="expires_at IS NOT NULL"
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    # Key of the session in the search index, which takes integers only. Null if a
    # version without search wrote the row.
    number: Mapped[int | None] = mapped_column(
        BigInteger, unique=True, index=True, default=_default_number
    )
    owner_id: Mapped[str] = mapped_column(Text)
    # The owner of a session that is hidden from its owner: in the trash, while its
    # messages are deleted, or as a fork that is being copied. Else null.
    former_owner_id: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    # Collation C sorts by code point, as SQLite does.
    name_folded: Mapped[str] = mapped_column(
        String(FOLDED_LENGTH).with_variant(
            String(FOLDED_LENGTH, collation="C"), "postgresql"
        ),
        default="",
        server_default=text("''"),
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    llm_model_name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    rag_document_ids: Mapped[list[str]] = mapped_column(JSON, default=list)
    metadata_tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    message_count: Mapped[int] = mapped_column(default=0)
    last_seq: Mapped[int] = mapped_column(default=0)
    last_message_preview: Mapped[str | None] = mapped_column(String(PREVIEW_LENGTH))
    pinned: Mapped[bool] = mapped_column(default=False)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(default=1)

    # The attribute is `metadata_`, because SQLAlchemy reserves the name `metadata`.
    metadata_: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JsonObject, nullable=True
    )
    external_id: Mapped[str | None] = mapped_column(String(EXTERNAL_ID_LENGTH))
    # Seq of the last message of the branch that is shown; null if it is `last_seq`.
    head_seq: Mapped[int | None]
    # `parent_seq` of the latest append. An append reads it back from its own UPDATE.
    latest_parent_seq: Mapped[int | None]
    forked_from_id: Mapped[UUID | None]
    forked_from_seq: Mapped[int | None]
    # A trigger numbers each change of the row; see `models.changes`.
    change_id: Mapped[int] = mapped_column(
        BigInteger, server_default=text("0"), deferred=True
    )
    # Tokens that the models counted for the messages, by their `usage`.
    input_tokens: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default=text("0")
    )
    output_tokens: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default=text("0")
    )
    # Bytes of the messages' texts and JSON, with earlier revisions. Messages of before
    # this column count nothing until `chatstore reindex`.
    content_bytes: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default=text("0")
    )
    # When the session was put into the trash. `TRASH_OWNER` owns it then.
    trashed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    messages: Mapped[list["Message"]] = relationship(
        back_populates="session",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="Message.seq",
    )

    @property
    def archived(self) -> bool:
        """Whether the session is archived."""
        return self.archived_at is not None

    @property
    def forked_from(self) -> dict[str, Any] | None:
        """The session and the seq that this session was copied from, or None."""
        if self.forked_from_id is None:
            return None
        return {"session_id": self.forked_from_id, "seq": self.forked_from_seq}

    @property
    def shown_head_seq(self) -> int | None:
        """The seq of the last message of the branch that is shown; None if empty."""
        return self.head_seq or self.last_seq or None

    def __repr__(self) -> str:
        return f"<ChatSession {self.id} {self.name!r} messages={self.message_count}>"


# The owner, even of a session that is hidden from its owner.
OWNER = func.coalesce(ChatSession.former_owner_id, ChatSession.owner_id)
