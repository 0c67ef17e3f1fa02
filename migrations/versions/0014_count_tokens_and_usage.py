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

BATCH = 200
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
BATCH_END = (
    "SELECT max(id) FROM"
    f" (SELECT id FROM sessions WHERE id > :after ORDER BY id LIMIT {BATCH}) AS batch"
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
    after, last = first_id(work), 0
    while last is not None:
        last = end_of_batch(work, after)
        while last is not None and (wrong := wrong_sums(work, after, last)):
            work.write(write_sums, wrong)
        after = last


def first_id(work: Any) -> str:
    """Return an id before that of every session, as the database stores ids."""
    return "" if work.is_sqlite else "00000000-0000-0000-0000-000000000000"


def end_of_batch(work: Any, after: Any) -> Any:
    query = BATCH_END if work.is_sqlite else BATCH_END.replace("max(id)", MAX_UUID)
    return work.read(typed(work, query), {"after": after})[0][0]


# PostgreSQL before 18 has no max(uuid).
MAX_UUID = "CAST(max(CAST(id AS text)) AS uuid)"


def typed(work: Any, query: str) -> Any:
    if not work.is_sqlite:
        for name in ("after", "last"):
            query = query.replace(f":{name}", f"CAST(:{name} AS uuid)")
    return sa.text(query)


def wrong_sums(work: Any, after: Any, last: Any) -> Sequence[Mapping[str, Any]]:
    kinds = ("input_tokens", "output_tokens")
    tokens = {kind: TOKENS[work.is_sqlite].format(kind=kind) for kind in kinds}
    query = (
        f"SELECT id, revision, found.input_tokens, found.output_tokens"
        f" FROM sessions JOIN ({SUMS.format(**tokens)}) AS found USING (id, revision)"
        " WHERE sessions.input_tokens <> found.input_tokens"
        " OR sessions.output_tokens <> found.output_tokens"
    )
    rows = work.read(typed(work, query), {"after": after, "last": last})
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
