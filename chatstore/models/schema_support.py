"""The schema_support table: which versions of the code run on which revision."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from chatstore.db import db


class SchemaSupport(db.Model):  # type: ignore[name-defined, misc]
    """One revision of the schema, and the head of the oldest code that may serve it.

    The migrations write it, so that code learns of revisions newer than itself.
    """

    __tablename__ = "schema_support"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)
    oldest_code: Mapped[str] = mapped_column(String(32))
