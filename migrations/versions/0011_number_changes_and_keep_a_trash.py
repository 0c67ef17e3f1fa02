"""number the changes of each owner, and let sessions wait in a trash or expire

Revision ID: 0011
Revises: 0010
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Each constant default is one that neither database writes into existing rows.
COLUMNS = {
    "change_id": "BIGINT DEFAULT 0 NOT NULL",
    "input_tokens": "BIGINT DEFAULT 0 NOT NULL",
    "output_tokens": "BIGINT DEFAULT 0 NOT NULL",
    "trashed_at": "{instant}",
    "expires_at": "{instant}",
}
TABLES = {
    "change_feed": (
        "id INTEGER NOT NULL, feed_id {uuid} NOT NULL, last_change_id BIGINT NOT NULL,"
        " CONSTRAINT pk_change_feed PRIMARY KEY (id)"
    ),
    "message_changes": (
        "message_id {key} NOT NULL, owner_id TEXT NOT NULL, session_id {uuid} NOT NULL,"
        " seq INTEGER NOT NULL, change_id BIGINT NOT NULL,"
        " CONSTRAINT pk_message_changes PRIMARY KEY (message_id),"
        " CONSTRAINT fk_message_changes_message_id_chat_messages"
        " FOREIGN KEY (message_id) REFERENCES chat_messages (id) ON DELETE CASCADE"
    ),
    "session_tombstones": (
        "session_id {uuid} NOT NULL, owner_id TEXT NOT NULL,"
        " change_id BIGINT NOT NULL, deleted_at {instant} NOT NULL,"
        " revision INTEGER NOT NULL,"
        " CONSTRAINT pk_session_tombstones PRIMARY KEY (session_id, owner_id)"
    ),
}
TYPES = {
    True: {"instant": "VARCHAR(27)", "uuid": "CHAR(32)", "key": "INTEGER"},
    False: {"instant": "TIMESTAMP WITH TIME ZONE", "uuid": "UUID", "key": "BIGINT"},
}
INDEXES = {
    "ix_sessions_changes": ("sessions", ["owner_id", "change_id", "id"], ""),
    "ix_sessions_trash": (
        "sessions",
        ["former_owner_id", "trashed_at", "id"],
        "trashed_at IS NOT NULL",
    ),
    "ix_sessions_trashed_at": (
        "sessions",
        ["trashed_at", "id"],
        "trashed_at IS NOT NULL",
    ),
    "ix_sessions_expires_at": (
        "sessions",
        ["expires_at", "id"],
        "expires_at IS NOT NULL",
    ),
    "ix_message_changes_owner_id_change_id_message_id": (
        "message_changes",
        ["owner_id", "change_id", "message_id"],
        "",
    ),
    "ix_session_tombstones_owner_id_change_id_session_id": (
        "session_tombstones",
        ["owner_id", "change_id", "session_id"],
        "",
    ),
    "ix_session_tombstones_deleted_at": (
        "session_tombstones",
        ["deleted_at", "session_id"],
        "",
    ),
}
# SQLite has one writer, so a counter numbers the changes. Each trigger of SQLite is a
# name, its event and its statements; NEXT draws the number CURRENT. A session is
# visible to its owner while it has no former owner.
NEXT = (
    "INSERT INTO change_feed VALUES (1, lower(hex(randomblob(16))), 1)"
    " ON CONFLICT (id) DO UPDATE SET last_change_id = last_change_id + 1"
)
CURRENT = "(SELECT last_change_id FROM change_feed)"
NUMBER_SESSION = f"UPDATE sessions SET change_id = {CURRENT} WHERE rowid = NEW.rowid"
BURY = (
    "INSERT OR REPLACE INTO session_tombstones"
    f" SELECT OLD.id, OLD.owner_id, {CURRENT},"
    " strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'), OLD.revision"
)
SQLITE_TRIGGERS = {
    "sessions_inserted": ("AFTER INSERT ON sessions", NEXT, NUMBER_SESSION),
    "sessions_updated": ("AFTER UPDATE ON sessions", NEXT, NUMBER_SESSION),
    "sessions_hidden": (
        "AFTER UPDATE OF former_owner_id ON sessions"
        " WHEN OLD.former_owner_id IS NULL AND NEW.former_owner_id IS NOT NULL",
        NEXT,
        BURY,
    ),
    "sessions_restored": (
        "AFTER UPDATE OF former_owner_id ON sessions"
        " WHEN OLD.former_owner_id IS NOT NULL AND NEW.former_owner_id IS NULL",
        "DELETE FROM session_tombstones"
        " WHERE session_id = NEW.id AND owner_id = NEW.owner_id",
    ),
    "sessions_deleted": (
        "AFTER DELETE ON sessions WHEN OLD.former_owner_id IS NULL",
        NEXT,
        BURY,
    ),
    "chat_messages_updated": (
        "AFTER UPDATE ON chat_messages",
        NEXT,
        "INSERT OR REPLACE INTO message_changes"
        f" SELECT NEW.id, owner_id, NEW.session_id, NEW.seq, {CURRENT}"
        " FROM sessions WHERE sessions.id = NEW.session_id",
    ),
}
# PostgreSQL numbers a change with the id of its transaction: no writer waits, and all
# changes below the oldest running transaction's id are complete.
XID = "pg_current_xact_id()::text::bigint"
FUNCTIONS = {
    "chatstore_number_session": f"NEW.change_id := {XID}; RETURN NEW;",
    "chatstore_bury_session": f"""
        IF TG_OP = 'UPDATE' AND NEW.former_owner_id IS NULL THEN
            DELETE FROM session_tombstones
            WHERE session_id = NEW.id AND owner_id = NEW.owner_id;
        ELSE
            INSERT INTO session_tombstones
            VALUES (OLD.id, OLD.owner_id, {XID}, clock_timestamp(), OLD.revision)
            ON CONFLICT (session_id, owner_id) DO UPDATE SET
            change_id = excluded.change_id, deleted_at = excluded.deleted_at,
            revision = excluded.revision;
        END IF;
        RETURN NULL;""",
    "chatstore_note_message": f"""
        INSERT INTO message_changes
        SELECT NEW.id, owner_id, NEW.session_id, NEW.seq, {XID}
        FROM sessions WHERE sessions.id = NEW.session_id
        ON CONFLICT (message_id) DO UPDATE SET owner_id = excluded.owner_id,
        change_id = excluded.change_id;
        RETURN NULL;""",
}
POSTGRESQL_TRIGGERS = {
    "sessions_changed": (
        "sessions",
        "BEFORE INSERT OR UPDATE",
        "",
        "chatstore_number_session",
    ),
    "sessions_hidden": (
        "sessions",
        "AFTER UPDATE OF former_owner_id",
        "WHEN ((OLD.former_owner_id IS NULL) <> (NEW.former_owner_id IS NULL))",
        "chatstore_bury_session",
    ),
    "sessions_deleted": (
        "sessions",
        "AFTER DELETE",
        "WHEN (OLD.former_owner_id IS NULL)",
        "chatstore_bury_session",
    ),
    "chat_messages_updated": (
        "chat_messages",
        "AFTER UPDATE",
        "",
        "chatstore_note_message",
    ),
}


def prepare(work: Any) -> None:
    """Add the columns, tables and indexes, each in a short transaction."""
    types = TYPES[work.is_sqlite]
    for name, definition in COLUMNS.items():
        work.add_column("sessions", name, definition.format(**types))
    for table, columns_and_keys in TABLES.items():
        definition = columns_and_keys.format(**types)
        work.change(f"CREATE TABLE IF NOT EXISTS {table} ({definition})")
    for name, (table, columns, where) in INDEXES.items():
        work.create_index(name, table, columns, where=where)


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        op.execute(NEXT)
        for name, (event, *statements) in SQLITE_TRIGGERS.items():
            body = "; ".join(statements)
            op.execute(f"CREATE TRIGGER {name} {event} BEGIN {body}; END")
        return
    op.execute(
        "INSERT INTO change_feed VALUES (1, gen_random_uuid(), 0)"
        " ON CONFLICT (id) DO NOTHING"
    )
    for name, body in FUNCTIONS.items():
        op.execute(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
            f" AS $$ BEGIN {body} END $$"
        )
    for name, (table, event, condition, function) in POSTGRESQL_TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW {condition}"
            f" EXECUTE FUNCTION {function}()"
        )


def downgrade() -> None:
    connection = op.get_bind()
    refuse_to_lose(connection)
    if connection.dialect.name == "sqlite":
        for name in SQLITE_TRIGGERS:
            # A later batch alteration of the table would have dropped it.
            op.execute(f"DROP TRIGGER IF EXISTS {name}")
    else:
        for name, (table, *_) in POSTGRESQL_TRIGGERS.items():
            op.execute(f"DROP TRIGGER {name} ON {table}")
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION {name}()")
    for name, (table, *_) in INDEXES.items():
        if table not in TABLES:
            op.execute(f"DROP INDEX {name}")
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    for name in COLUMNS:
        op.execute(f"ALTER TABLE sessions DROP COLUMN {name}")


def refuse_to_lose(connection: sa.Connection) -> None:
    """Raise RuntimeError if the version before could not hold what is stored."""
    count = connection.exec_driver_sql(
        "SELECT count(*) FROM sessions"
        " WHERE trashed_at IS NOT NULL OR expires_at IS NOT NULL"
    ).scalar_one()
    if count:
        raise RuntimeError(
            f"{count} sessions are in the trash or expire, which the previous version"
            " does not know, so this database cannot be downgraded. Restore a backup of"
            " before."
        )
