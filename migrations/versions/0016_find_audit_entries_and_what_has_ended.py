"""find entries of the audit log by time, and keys and links that have ended

Revision ID: 0016
Revises: 0015
"""

from typing import Any

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_audit_entries_actor_at_id": ("audit_entries", ["actor", "at", "id"], ""),
    "ix_audit_entries_owner_id_at_id": ("audit_entries", ["owner_id", "at", "id"], ""),
    "ix_audit_entries_action_at_id": ("audit_entries", ["action", "at", "id"], ""),
    "ix_api_keys_revoked_at": ("api_keys", ["revoked_at"], "revoked_at IS NOT NULL"),
    "ix_api_keys_expires_at": ("api_keys", ["expires_at"], "expires_at IS NOT NULL"),
    "ix_shares_revoked_at": ("shares", ["revoked_at"], "revoked_at IS NOT NULL"),
    "ix_shares_expires_at": ("shares", ["expires_at"], "expires_at IS NOT NULL"),
}


def prepare(work: Any) -> None:
    """Build the indexes; on PostgreSQL, while servers go on writing."""
    for name, (table, columns, where) in INDEXES.items():
        work.create_index(name, table, columns, where=where)


def upgrade() -> None:
    """Do nothing: `prepare` has built the indexes."""


def downgrade() -> None:
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table)
