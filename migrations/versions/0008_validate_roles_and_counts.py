"""prove that the rows of old pass the checks

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CHECKS = (
    ("chat_messages", "ck_chat_messages_role"),
    ("chat_messages", "ck_chat_messages_seq"),
    ("sessions", "ck_sessions_message_count"),
    ("sessions", "ck_sessions_last_seq"),
    ("sessions", "ck_sessions_revision"),
)


def upgrade() -> None:
    # On SQLite the step before has read the rows.
    if op.get_bind().dialect.name == "postgresql":
        for table, name in CHECKS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """A check that was validated needs nothing undone."""
