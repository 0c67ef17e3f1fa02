"""count the bytes of each session's messages

Revision ID: 0017
Revises: 0016
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# SQL for the bytes of a text or of JSON. SQLite keeps JSON as text.
LENGTH = {
    True: "coalesce(octet_length(m.{column}), 0)",
    False: "coalesce(octet_length(CAST(m.{column} AS text)), 0)",
}
# What a message says, and what it said before it was edited.
TEXTS = (
    "SELECT m.session_id, {bytes} AS bytes FROM chat_messages m"
    " WHERE m.session_id > :after AND m.session_id <= :last"
    " UNION ALL SELECT t.session_id, {bytes} FROM message_revisions m"
    " JOIN chat_messages t ON t.id = m.message_id"
    " WHERE t.session_id > :after AND t.session_id <= :last"
)
WRONG = (
    "SELECT id, revision, found.bytes FROM sessions JOIN"
    " (SELECT s.id, s.revision, CAST(sum(t.bytes) AS BIGINT) AS bytes"
    f" FROM sessions s JOIN ({TEXTS}) AS t ON t.session_id = s.id"
    " GROUP BY s.id, s.revision) AS found USING (id, revision)"
    " WHERE sessions.content_bytes <> found.bytes"
)
CORRECT = (
    "UPDATE sessions SET content_bytes = :bytes WHERE id = :id AND revision = :revision"
)


def prepare(work: Any) -> None:
    """Add the column, which rewrites no row, and count the bytes of each session.

    Bytes are counted without a lock. A session that changes meanwhile is read again.
    """
    work.add_column("sessions", "content_bytes", "BIGINT DEFAULT 0 NOT NULL")
    for after, last in work.frozen("sessions_0014").batches(work):
        while wrong := wrong_bytes(work, after, last):
            work.write(write_bytes, wrong)


def wrong_bytes(work: Any, after: Any, last: Any) -> Sequence[Mapping[str, Any]]:
    length = LENGTH[work.is_sqlite]
    columns = ("content", "metadata", "extra")
    size = " + ".join(length.format(column=each) for each in columns)
    query = work.frozen("sessions_0014").typed(work, WRONG.format(bytes=size))
    rows = work.read(query, {"after": after, "last": last})
    return [dict(row._mapping) for row in rows]


def write_bytes(connection: Any, sizes: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(sa.text(CORRECT), sizes)


def upgrade() -> None:
    """Do nothing: `prepare` has added the column."""


def downgrade() -> None:
    # The bytes are derived from messages, so nothing is lost with them.
    op.execute("ALTER TABLE sessions DROP COLUMN content_bytes")
