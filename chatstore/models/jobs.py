"""The jobs table: work that servers do from time to time, one server at a time."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import UtcDateTime, db


class Job(db.Model):  # type: ignore[name-defined, misc]
    """When a job was done last, and who may do it now; without a holder, anybody."""

    __tablename__ = "jobs"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str | None] = mapped_column(String(32))
    held_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
