"""check roles and counts

Revision ID: 0007
Revises: 0006
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# A new role needs a new step, with `replace_checks` on SQLite.
CHECKS = {
    "chat_messages": {
        "ck_chat_messages_role": "role IN ('user', 'assistant', 'system', 'tool')",
        "ck_chat_messages_seq": "seq >= 1",
    },
    "sessions": {
        "ck_sessions_message_count": "message_count >= 0",
        "ck_sessions_last_seq": "last_seq >= 0",
        "ck_sessions_revision": "revision >= 1",
    },
}
NAMED = 5


def prepare(work: Any) -> None:
    """Raise `work.refusal` for rows that break a check, before anything is changed."""
    broken = [
        sentence
        for table, checks in CHECKS.items()
        for condition in checks.values()
        if (sentence := broken_rows(work, table, condition))
    ]
    if broken:
        raise work.refusal(
            f"Revision {revision} did not start. {' '.join(broken)} Correct these rows"
            " and run chatstore migrate again. The previous version still works."
        )
    if not work.is_sqlite:
        add_unproven(work)


def add_unproven(work: Any) -> None:
    """Add the checks for new rows; `upgrade` checks the others without blocking."""
    for table, checks in CHECKS.items():
        changes = [
            f"DROP CONSTRAINT IF EXISTS {name},"
            f" ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"
            for name, condition in checks.items()
        ]
        work.change(f"ALTER TABLE {table} {', '.join(changes)}")


def broken_rows(work: Any, table: str, condition: str) -> str:
    rows = work.read(
        sa.text(
            f"SELECT id FROM {table} WHERE NOT ({condition})"
            f" ORDER BY id LIMIT {NAMED + 1}"
        )
    )
    ids = ", ".join(str(row.id) for row in rows[:NAMED])
    more = " and more" if len(rows) > NAMED else ""
    return f"Rows of {table} violate {condition} (id {ids}{more})." if ids else ""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        replace_checks = op.get_context().config.attributes["replace_checks"]
        for table, checks in CHECKS.items():
            replace_checks(connection, table, checks)
        return
    for table, checks in CHECKS.items():
        for name in checks:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        replace_checks = op.get_context().config.attributes["replace_checks"]
        for table, checks in CHECKS.items():
            replace_checks(connection, table, dict.fromkeys(checks))
        return
    for table, checks in CHECKS.items():
        for name in checks:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
