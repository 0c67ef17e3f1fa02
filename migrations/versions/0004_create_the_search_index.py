"""create the search index

Revision ID: 0004
Revises: 0003
"""

from typing import Any

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The first release of SQLite with deletes in an FTS5 table that stores no text.
CONTENTLESS_DELETE = (3, 43)
INDEXES = (
    ("message_index", "chat_messages", "id"),
    ("name_index", "sessions", "number"),
)


def prepare(work: Any) -> None:
    # Step 0006 writes the entries, in batches.
    work.add_column("sessions", "number", "BIGINT")
    work.create_index("ix_sessions_number", "sessions", ["number"], is_unique=True)
    work.frozen("numbers_0004").number_sessions(work)


def upgrade() -> None:
    create = create_fts5 if op.get_bind().dialect.name == "sqlite" else create_tables
    create()


def downgrade() -> None:
    for index, _, _ in INDEXES:
        op.execute(f"DROP TABLE {index}")
    op.drop_index("ix_sessions_number", "sessions")
    op.drop_column("sessions", "number")


def create_fts5() -> None:
    version = op.get_bind().dialect.dbapi.sqlite_version_info
    kept = ", content = '', contentless_delete = 1"
    for index, _, _ in INDEXES:
        op.execute(
            f"CREATE VIRTUAL TABLE {index} USING fts5(words, scope,"
            f" tokenize = 'ascii'{kept if version >= CONTENTLESS_DELETE else ''})"
        )


def create_tables() -> None:
    for index, table, key in INDEXES:
        op.execute(
            f"CREATE TABLE {index} ("
            f"id bigint CONSTRAINT pk_{index} PRIMARY KEY, words tsvector NOT NULL)"
        )
        # Every search reads the pending list, and the insert that fills it waits for
        # its merge. So we keep it short.
        op.execute(
            f"CREATE INDEX ix_{index}_words ON {index} USING gin (words)"
            " WITH (gin_pending_list_limit = 256)"
        )
        # The table is empty, so the lock is short.
        op.create_foreign_key(
            f"fk_{index}_id_{table}", index, table, ["id"], [key], ondelete="CASCADE"
        )
