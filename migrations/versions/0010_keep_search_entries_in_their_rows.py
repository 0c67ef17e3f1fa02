"""keep search entries of up to 8 kB in their rows on PostgreSQL

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # By default PostgreSQL compresses an entry of more than 2 kB, and moves it to
    # another table. A search for a common word reads thousands of entries, so we keep
    # them in their rows. This changes new entries only, and `chatstore reindex`
    # writes all entries again.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE message_index SET (toast_tuple_target = 8160)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE message_index RESET (toast_tuple_target)")
