"""keep API keys, browser logins, shared links and an audit log

Revision ID: 0015
Revises: 0014
"""

from typing import Any

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INSTANTS = {True: "VARCHAR(27)", False: "TIMESTAMP WITH TIME ZONE"}
UUIDS = {True: "CHAR(32)", False: "UUID"}
ENTRY_IDS = {True: "INTEGER NOT NULL", False: "BIGSERIAL NOT NULL"}
TABLES = {
    "api_keys": (
        "id VARCHAR(12) NOT NULL, owner_id TEXT NOT NULL, name VARCHAR(255),"
        " scope VARCHAR(16) NOT NULL, sha256 VARCHAR(64) NOT NULL,"
        " created_at {instant} NOT NULL, expires_at {instant}, revoked_at {instant},"
        " last_used_at {instant}, CONSTRAINT pk_api_keys PRIMARY KEY (id)"
    ),
    "login_sessions": (
        "id VARCHAR(12) NOT NULL, owner_id TEXT NOT NULL, scope VARCHAR(16) NOT NULL,"
        " sha256 VARCHAR(64) NOT NULL, key_id VARCHAR(12),"
        " created_at {instant} NOT NULL, last_seen_at {instant} NOT NULL,"
        " expires_at {instant} NOT NULL,"
        " CONSTRAINT pk_login_sessions PRIMARY KEY (id)"
    ),
    "shares": (
        "id VARCHAR(12) NOT NULL, owner_id TEXT NOT NULL, session_id {uuid} NOT NULL,"
        " sha256 VARCHAR(64) NOT NULL, head_seq INTEGER,"
        " created_at {instant} NOT NULL, expires_at {instant}, revoked_at {instant},"
        " reads BIGINT NOT NULL, last_read_at {instant},"
        " CONSTRAINT pk_shares PRIMARY KEY (id),"
        " CONSTRAINT fk_shares_session_id_sessions FOREIGN KEY (session_id)"
        " REFERENCES sessions (id) ON DELETE CASCADE"
    ),
    "audit_entries": (
        "id {entry_id}, at {instant} NOT NULL, action VARCHAR(32) NOT NULL,"
        " actor TEXT NOT NULL, owner_id TEXT, target TEXT, address VARCHAR(64),"
        " request_id VARCHAR(64), details JSON,"
        " CONSTRAINT pk_audit_entries PRIMARY KEY (id)"
    ),
}
INDEXES = {
    "ix_api_keys_owner_id_id": "api_keys (owner_id, id)",
    "ix_login_sessions_owner_id_id": "login_sessions (owner_id, id)",
    "ix_login_sessions_expires_at": "login_sessions (expires_at)",
    "ix_shares_session_id": "shares (session_id)",
    "ix_shares_owner_id_id": "shares (owner_id, id)",
    "ix_audit_entries_owner_id_id": "audit_entries (owner_id, id)",
    "ix_audit_entries_action_id": "audit_entries (action, id)",
    "ix_audit_entries_at": "audit_entries (at)",
}


def prepare(work: Any) -> None:
    """Create the tables, which are empty, and their indexes."""
    types = {
        "instant": INSTANTS[work.is_sqlite],
        "uuid": UUIDS[work.is_sqlite],
        "entry_id": ENTRY_IDS[work.is_sqlite],
    }
    for table, columns_and_keys in TABLES.items():
        columns = columns_and_keys.format(**types)
        work.change(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
    for name, columns in INDEXES.items():
        work.change(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")


def upgrade() -> None:
    """Do nothing: `prepare` has created the tables."""


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
