"""let messages have parts, tool calls and parents, and sessions metadata and a head

Revision ID: 0009
Revises: 0008
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ROLES_BEFORE = "role IN ('user', 'assistant', 'system', 'tool')"
ROLES = "role IN ('user', 'assistant', 'system', 'tool', 'developer')"
# Null says that the row has none of it, so rows of before need no change. "revision"
# has a constant default, which neither database writes into existing rows.
COLUMNS = {
    "chat_messages": {
        "extra": "JSON",
        "search_text": "TEXT",
        "parent_seq": "INTEGER",
        "revision": "INTEGER DEFAULT 1 NOT NULL",
        "edited_at": "{instant}",
        "deleted_at": "{instant}",
        "feedback": "JSON",
    },
    "idempotency_records": {
        "first_seq": "INTEGER",
        "last_seq": "INTEGER",
        "session_id": "{uuid}",
    },
    "sessions": {
        "metadata": "JSON",
        "external_id": "VARCHAR(255)",
        "head_seq": "INTEGER",
        "latest_parent_seq": "INTEGER",
        "forked_from_id": "{uuid}",
        "forked_from_seq": "INTEGER",
    },
}
# Tables with the key of a message, deleted with it.
TABLES = {
    "message_revisions": (
        "message_id {key} NOT NULL, revision INTEGER NOT NULL, content TEXT NOT NULL,"
        " extra JSON, metadata JSON, written_at {instant} NOT NULL,"
        " CONSTRAINT pk_message_revisions PRIMARY KEY (message_id, revision),"
        " CONSTRAINT fk_message_revisions_message_id_chat_messages"
        " FOREIGN KEY (message_id) REFERENCES chat_messages (id) ON DELETE CASCADE"
    ),
    "message_feedback": (
        "message_id {key} NOT NULL, owner_id TEXT NOT NULL, rating INTEGER,"
        " CONSTRAINT pk_message_feedback PRIMARY KEY (message_id),"
        " CONSTRAINT fk_message_feedback_message_id_chat_messages"
        " FOREIGN KEY (message_id) REFERENCES chat_messages (id) ON DELETE CASCADE"
    ),
}
TYPES = {
    True: {"instant": "VARCHAR(27)", "uuid": "CHAR(32)", "key": "INTEGER"},
    False: {
        "instant": "TIMESTAMP WITH TIME ZONE",
        "uuid": "UUID",
        "key": "BIGINT",
    },
}


def prepare(work: Any) -> None:
    """Add the columns, the roles and the indexes, each in a short transaction."""
    for table, columns in COLUMNS.items():
        for name, definition in columns.items():
            kind = definition.format(**TYPES[work.is_sqlite])
            work.add_column(table, name, kind)
    for table, columns_and_keys in TABLES.items():
        definition = columns_and_keys.format(**TYPES[work.is_sqlite])
        work.change(f"CREATE TABLE IF NOT EXISTS {table} ({definition})")
    if not work.is_sqlite:
        work.change(
            "ALTER TABLE chat_messages DROP CONSTRAINT IF EXISTS ck_chat_messages_role,"
            f" ADD CONSTRAINT ck_chat_messages_role CHECK ({ROLES}) NOT VALID"
        )
    work.create_index(
        "ix_chat_messages_forks",
        "chat_messages",
        ["session_id", "seq", "parent_seq"],
        where="parent_seq IS NOT NULL",
    )
    work.create_index(
        "ix_chat_messages_siblings",
        "chat_messages",
        ["session_id", "parent_seq", "seq"],
        where="parent_seq IS NOT NULL",
    )
    work.create_index(
        "ix_message_feedback_owner_id_message_id",
        "message_feedback",
        ["owner_id", "message_id"],
    )
    work.create_index(
        "ix_idempotency_records_owner_id_request_first_seq",
        "idempotency_records",
        ["owner_id", "request", "first_seq"],
    )
    work.create_index(
        "ix_idempotency_records_session_id",
        "idempotency_records",
        ["session_id"],
        where="session_id IS NOT NULL",
    )
    work.create_index(
        "ix_sessions_external_id",
        "sessions",
        ["owner_id", "external_id"],
        # The previous version keeps the external id of a session that it hides.
        where="external_id IS NOT NULL AND former_owner_id IS NULL",
        is_unique=True,
    )


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        replace_checks = op.get_context().config.attributes["replace_checks"]
        replace_checks(connection, "chat_messages", {"ck_chat_messages_role": ROLES})
    else:
        op.execute(
            "ALTER TABLE chat_messages VALIDATE CONSTRAINT ck_chat_messages_role"
        )


def downgrade() -> None:
    connection = op.get_bind()
    refuse_to_lose(connection)
    for name in (
        "ix_chat_messages_forks",
        "ix_chat_messages_siblings",
        "ix_sessions_external_id",
        "ix_idempotency_records_owner_id_request_first_seq",
        "ix_idempotency_records_session_id",
    ):
        op.execute(f"DROP INDEX {name}")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    if connection.dialect.name == "sqlite":
        replace_checks = op.get_context().config.attributes["replace_checks"]
        checks = {"ck_chat_messages_role": ROLES_BEFORE}
        replace_checks(connection, "chat_messages", checks)
    else:
        op.execute(
            "ALTER TABLE chat_messages DROP CONSTRAINT ck_chat_messages_role,"
            f" ADD CONSTRAINT ck_chat_messages_role CHECK ({ROLES_BEFORE})"
        )
    for table, columns in COLUMNS.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")


def refuse_to_lose(connection: sa.Connection) -> None:
    """Raise RuntimeError if the version before could not hold what is stored."""
    new = {
        table: [f"{name} IS NOT NULL" for name in columns if name != "revision"]
        for table, columns in COLUMNS.items()
        if table != "idempotency_records"
    }
    new["chat_messages"] += ["revision > 1", "role = 'developer'"]
    for table, conditions in new.items():
        count = connection.exec_driver_sql(
            f"SELECT count(*) FROM {table} WHERE {' OR '.join(conditions)}"  # nosec B608
        ).scalar_one()
        if count:
            raise RuntimeError(
                f"{count} rows of {table} hold values that the previous version cannot"
                " keep (parts, tool calls, branches, metadata or external ids), so this"
                " database cannot be downgraded. Restore a backup of before."
            )
