"""The session_facets table: one tag, document or metadata pair per row, for filters.

Rows are derived from the session's own row, in the same transaction.
"""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import db


class SessionFacet(db.Model):  # type: ignore[name-defined, misc]
    """One tag, document or `key:value` of one session; `kind` is a Facet.

    Equal tags have the same `value`; see `store.facets.tag_value`.
    """

    __tablename__ = "session_facets"
    __table_args__ = (
        Index(
            "ix_session_facets_values",
            "owner_id",
            "kind",
            "value",
            "number",
            "session_id",
            # Finds prefixes in any collation.
            postgresql_ops={"value": "text_pattern_ops"},
        ),
        {"sqlite_with_rowid": False},
    )

    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[str] = mapped_column(Text, primary_key=True)
    owner_id: Mapped[str] = mapped_column(Text)
    # The tag as the session spells it; null if that is the value.
    label: Mapped[str | None] = mapped_column(Text)
    # The session's number, by which the oldest spelling of a tag is found. Null for
    # documents and metadata, and if an older version wrote the row.
    number: Mapped[int | None] = mapped_column(BigInteger)
