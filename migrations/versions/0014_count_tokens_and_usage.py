"""sum the tokens of sessions, and count the usage of each owner

Revision ID: 0014
Revises: 0013
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = {
    "usage_counts": (
        "owner_id TEXT NOT NULL, quarter INTEGER NOT NULL, model VARCHAR(255) NOT NULL,"
        " role VARCHAR(16) NOT NULL, messages BIGINT NOT NULL, bytes BIGINT NOT NULL,"
        " input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL,"
        " CONSTRAINT pk_usage_counts PRIMARY KEY (owner_id, quarter, model, role)"
    ),
    "usage_progress": (
        "id INTEGER NOT NULL, last_message_id BIGINT NOT NULL,"
        " CONSTRAINT pk_usage_progress PRIMARY KEY (id)"
    ),
}
# SQL for the tokens that a message counts, by whether the database is SQLite.
TOKENS = {
    True: "min(coalesce(CAST(json_extract(m.extra, '$.usage.{kind}') AS INTEGER), 0),"
    " 1000000000)",
    False: "least(coalesce(CAST(m.extra #>> '{{usage,{kind}}}' AS numeric), 0),"
    " 1000000000)",
}
SUMS = (
    "SELECT s.id, s.revision, CAST(sum({input_tokens}) AS BIGINT) AS input_tokens,"
    " CAST(sum({output_tokens}) AS BIGINT) AS output_tokens"
    " FROM sessions s JOIN chat_messages m ON m.session_id = s.id"
    " WHERE s.id > :after AND s.id <= :last AND m.extra IS NOT NULL GROUP BY s.id"
)
CORRECT = (
    "UPDATE sessions SET input_tokens = :input_tokens, output_tokens = :output_tokens,"
    " revision = revision + 1 WHERE id = :id AND revision = :revision"
)


def prepare(work: Any) -> None:
    """Create the tables and sum the tokens, each batch in a short transaction.

    Sums are read without a lock. A session that changes meanwhile is read again.
    """
    for table, columns_and_keys in TABLES.items():
        end = " WITHOUT ROWID" if work.is_sqlite and table == "usage_counts" else ""
        work.change(f"CREATE TABLE IF NOT EXISTS {table} ({columns_and_keys}){end}")
    for after, last in work.frozen("sessions_0014").batches(work):
        while wrong := wrong_sums(work, after, last):
            work.write(write_sums, wrong)


def wrong_sums(work: Any, after: Any, last: Any) -> Sequence[Mapping[str, Any]]:
    kinds = ("input_tokens", "output_tokens")
    tokens = {kind: TOKENS[work.is_sqlite].format(kind=kind) for kind in kinds}
    query = (
        f"SELECT id, revision, found.input_tokens, found.output_tokens"
        f" FROM sessions JOIN ({SUMS.format(**tokens)}) AS found USING (id, revision)"
        " WHERE sessions.input_tokens <> found.input_tokens"
        " OR sessions.output_tokens <> found.output_tokens"
    )
    typed = work.frozen("sessions_0014").typed(work, query)
    rows = work.read(typed, {"after": after, "last": last})
    return [dict(row._mapping) for row in rows]


def write_sums(connection: Any, sums: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(sa.text(CORRECT), sums)


def upgrade() -> None:
    op.execute("INSERT INTO usage_progress VALUES (1, 0)")


def downgrade() -> None:
    # The sums and counts are derived from messages, so nothing is lost with them.
    op.execute(
        "UPDATE sessions SET input_tokens = 0, output_tokens = 0"
        " WHERE input_tokens > 0 OR output_tokens > 0"
    )
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
