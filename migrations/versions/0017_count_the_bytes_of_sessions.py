"""count the bytes of each session's messages

Revision ID: 0017
Revises: 0016
"""

from typing import Any

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def prepare(work: Any) -> None:
    """Add the column: a constant default, which no existing row is rewritten for."""
    work.add_column("sessions", "content_bytes", "BIGINT DEFAULT 0 NOT NULL")


def upgrade() -> None:
    """Do nothing: `prepare` has added the column."""


def downgrade() -> None:
    # The bytes are derived from messages, so nothing is lost with them.
    op.execute("ALTER TABLE sessions DROP COLUMN content_bytes")
