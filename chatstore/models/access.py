"""The tables of access: keys, browser logins, shared links and the audit log.

Secrets are stored as the SHA-256 of the whole token, see `access.secret_tokens`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.access.secret_tokens import ID_LENGTH, MAX_NAME_LENGTH
from chatstore.db import UtcDateTime, db

MAX_ADDRESS_LENGTH = 64


def _ending_index(prefix: str, column: str) -> Index:
    """Return an index by which the rows that have ended are found."""
    is_set = text(f"{column} IS NOT NULL")
    name = f"{prefix}_{column}"
    return Index(name, column, sqlite_where=is_set, postgresql_where=is_set)


class ApiKey(db.Model):  # type: ignore[name-defined, misc]
    """A key by which programs act for an owner."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("ix_api_keys_owner_id_id", "owner_id", "id"),
        _ending_index("ix_api_keys", "revoked_at"),
        _ending_index("ix_api_keys", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(String(MAX_NAME_LENGTH))
    scope: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Written once a minute, so it may be a minute late.
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LoginSession(db.Model):  # type: ignore[name-defined, misc]
    """A login of a browser, which its cookie names. The row ends with the login."""

    __tablename__ = "login_sessions"
    __table_args__ = (
        Index("ix_login_sessions_owner_id_id", "owner_id", "id"),
        Index("ix_login_sessions_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64))
    # The key that the browser logged in with; the login ends with it. Null for OpenID.
    key_id: Mapped[str | None] = mapped_column(String(ID_LENGTH))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Written once a minute, so it may be a minute late.
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Share(db.Model):  # type: ignore[name-defined, misc]
    """A link that reads one session without a login."""

    __tablename__ = "shares"
    __table_args__ = (
        Index("ix_shares_session_id", "session_id"),
        Index("ix_shares_owner_id_id", "owner_id", "id"),
        _ending_index("ix_shares", "revoked_at"),
        _ending_index("ix_shares", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Text)
    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE")
    )
    sha256: Mapped[str] = mapped_column(String(64))
    # The end of the path that the link shows; null if it follows the session.
    head_seq: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Written once a minute, so they may be a minute late.
    reads: Mapped[int] = mapped_column(BigInteger, default=0)
    last_read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def live(self) -> bool:
        """Whether the link also shows messages that came after it."""
        return self.head_seq is None


class AuditEntry(db.Model):  # type: ignore[name-defined, misc]
    """One act that an administrator may have to answer for."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        # Servers of earlier versions list by these two.
        Index("ix_audit_entries_owner_id_id", "owner_id", "id"),
        Index("ix_audit_entries_action_id", "action", "id"),
        Index("ix_audit_entries_at", "at"),
        # In the order of lists, so that a page reads only its own entries.
        Index("ix_audit_entries_actor_at_id", "actor", "at", "id"),
        Index("ix_audit_entries_owner_id_at_id", "owner_id", "at", "id"),
        Index("ix_audit_entries_action_at_id", "action", "at", "id"),
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True
    )
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    action: Mapped[str] = mapped_column(String(32))
    # Who did it: a key, a login, a token, a proxy, or the command line.
    actor: Mapped[str] = mapped_column(Text)
    # Whose data it is about; null if it is nobody's.
    owner_id: Mapped[str | None] = mapped_column(Text)
    # What it was done to: the id of a key, a session, a share.
    target: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(String(MAX_ADDRESS_LENGTH))
    request_id: Mapped[str | None] = mapped_column(String(64))
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
