"""The tables of the counts of usage, which the background worker writes.

An append writes none of them. The counts stay when their messages are deleted.
"""

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import db
from chatstore.models.sessions import NAME_LENGTH


class UsageCount(db.Model):  # type: ignore[name-defined, misc]
    """The messages of an owner in a quarter of an hour, by model and role.

    Every local day and hour of every time zone begins with a quarter of an hour in UTC.
    """

    __tablename__ = "usage_counts"
    __table_args__ = ({"sqlite_with_rowid": False},)

    owner_id: Mapped[str] = mapped_column(Text, primary_key=True)
    # Quarters of an hour since 1970, by the messages' timestamps.
    quarter: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    role: Mapped[str] = mapped_column(String(16), primary_key=True)
    messages: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)


class UsageProgress(db.Model):  # type: ignore[name-defined, misc]
    """One row: the last message that `usage_counts` holds. All before it are held."""

    __tablename__ = "usage_progress"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_message_id: Mapped[int] = mapped_column(BigInteger)
