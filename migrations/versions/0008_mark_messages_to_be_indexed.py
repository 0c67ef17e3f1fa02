"""mark messages without search entries on SQLite

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE TABLE message_index_pending (id INTEGER PRIMARY KEY)")


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    pending = "SELECT count(*) FROM message_index_pending"
    if count := connection.exec_driver_sql(pending).scalar_one():
        raise RuntimeError(
            f"The search index lacks {count} messages, and the previous version cannot"
            " add them. Start a server, which indexes them, then downgrade."
        )
    op.execute("DROP TABLE message_index_pending")
