"""hide sessions while their messages are deleted

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("former_owner_id", sa.Text(), nullable=True))


def downgrade() -> None:
    # The version before does not know hidden sessions, so we delete them.
    sessions = sa.table("sessions", sa.column("id"), sa.column("former_owner_id"))
    hidden = sa.select(sessions.c.id).where(sessions.c.former_owner_id.is_not(None))
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "DELETE FROM message_index WHERE rowid IN (SELECT chat_messages.id"
            " FROM chat_messages JOIN sessions ON sessions.id = session_id"
            " WHERE former_owner_id IS NOT NULL)"
        )
    # Foreign keys are off while SQLite migrates, so no delete cascades.
    messages = sa.table("chat_messages", sa.column("session_id"))
    op.execute(sa.delete(messages).where(messages.c.session_id.in_(hidden)))
    op.execute(sa.delete(sessions).where(sessions.c.former_owner_id.is_not(None)))
    op.drop_column("sessions", "former_owner_id")
