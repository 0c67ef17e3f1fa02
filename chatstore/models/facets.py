"""The session_facets table: one tag, document or metadata pair per row, for filters.

Rows are derived from the session's own row, in the same transaction.
"""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import db


class SessionFacet(db.Model):  # type: ignore[name-defined, misc]
    """One tag, document or `key:value` of one session; `kind` is a Facet."""

    __tablename__ = "session_facets"
    __table_args__ = (
        Index(
            "ix_session_facets_owner_id_kind_value_session_id",
            "owner_id",
            "kind",
            "value",
            "session_id",
        ),
        {"sqlite_with_rowid": False},
    )

    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True)
    owner_id: Mapped[str] = mapped_column(Text)
