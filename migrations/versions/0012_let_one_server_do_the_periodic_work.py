"""let one server at a time do the periodic work, and remember when it was done

Revision ID: 0012
Revises: 0011
"""

from typing import Any

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INSTANTS = {True: "VARCHAR(27)", False: "TIMESTAMP WITH TIME ZONE"}


def prepare(work: Any) -> None:
    """Create the table of the jobs."""
    instant = INSTANTS[work.is_sqlite]
    work.change(
        "CREATE TABLE IF NOT EXISTS jobs (name VARCHAR(32) NOT NULL,"
        f" holder VARCHAR(32), held_until {instant}, done_at {instant},"
        " CONSTRAINT pk_jobs PRIMARY KEY (name))"
    )


def upgrade() -> None:
    """Do nothing: `prepare` has created the table."""


def downgrade() -> None:
    op.drop_table("jobs")
