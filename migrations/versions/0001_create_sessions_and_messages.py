"""create sessions and messages

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# On SQLite an instant is a text that sorts by time.
INSTANT = sa.String(27).with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_updated_at", INSTANT, nullable=False),
        sa.Column("llm_model_name", sa.String(255), nullable=False),
        sa.Column("rag_document_ids", sa.JSON(), nullable=False),
        sa.Column("metadata_tags", sa.JSON(), nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("last_message_preview", sa.String(200), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("archived_at", INSTANT, nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index(
        "ix_sessions_owner_id_last_updated_at_id",
        "sessions",
        ["owner_id", "last_updated_at", "id"],
    )
    op.create_table(
        "chat_messages",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("timestamp", INSTANT, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_chat_messages"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.id"],
            name="fk_chat_messages_session_id_sessions",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "session_id", "seq", name="uq_chat_messages_session_id_seq"
        ),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("chat_messages")
    op.drop_table("sessions")
