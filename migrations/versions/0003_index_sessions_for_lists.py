"""index sessions for filtered and sorted lists

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BATCH = 500
FOLDED_LENGTH = 500
INDEXES = (
    ("ix_sessions_created_at", ("owner_id", "created_at", "id"), ""),
    ("ix_sessions_name", ("owner_id", "name_folded", "id"), ""),
    ("ix_sessions_model", ("owner_id", "llm_model_name", "last_updated_at", "id"), ""),
    (
        "ix_sessions_active",
        ("owner_id", "last_updated_at", "id"),
        "archived_at IS NULL",
    ),
    (
        "ix_sessions_archived",
        ("owner_id", "last_updated_at", "id"),
        "archived_at IS NOT NULL",
    ),
    ("ix_sessions_pinned", ("owner_id", "last_updated_at", "id"), "pinned = true"),
)

sessions = sa.table(
    "sessions",
    sa.column("id", sa.Uuid()),
    sa.column("name", sa.Text()),
    sa.column("name_folded", sa.Text()),
)


def prepare(work: Any) -> None:
    # Step 0006 writes the facets, in batches.
    collation = "" if work.is_sqlite else 'COLLATE "C" '
    definition = f"VARCHAR({FOLDED_LENGTH}) {collation}DEFAULT '' NOT NULL"
    work.add_column("sessions", "name_folded", definition)
    for name, columns, where in INDEXES:
        # SQLite uses a partial index if the query repeats its text, with true as 1.
        condition = where.replace("true", "1") if work.is_sqlite else where
        work.create_index(name, "sessions", columns, where=condition)
    fold_names(work)


def fold_names(work: Any) -> None:
    """Fold the names that are not folded yet; an interrupted run can be repeated."""
    fold = work.frozen("words_0006").fold
    unfolded = sa.select(sessions.c.id, sessions.c.name).where(
        sessions.c.name != "", sessions.c.name_folded == ""
    )
    query, done = unfolded, 0
    while rows := work.read(query.order_by(sessions.c.id).limit(BATCH)):
        folded = [
            {"of": row.id, "its": row.name, "folded": fold(row.name)[:FOLDED_LENGTH]}
            for row in rows
        ]
        work.write(write_names, folded)
        query = unfolded.where(sessions.c.id > rows[-1].id)
        done += len(rows)
        work.show(f"names: {done}")


def write_names(connection: sa.Connection, folded: list[dict[str, Any]]) -> None:
    # We update rows in id order so that writers cannot deadlock. We skip sessions that
    # were renamed meanwhile.
    this = sa.and_(
        sessions.c.id == sa.bindparam("of", type_=sa.Uuid()),
        sessions.c.name == sa.bindparam("its"),
    )
    change = sa.update(sessions).where(this)
    connection.execute(change.values(name_folded=sa.bindparam("folded")), folded)


def upgrade() -> None:
    op.create_table(
        "session_facets",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "session_id", "kind", "value", name="pk_session_facets"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.id"],
            name="fk_session_facets_session_id_sessions",
            ondelete="CASCADE",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_session_facets_owner_id_kind_value_session_id",
        "session_facets",
        ["owner_id", "kind", "value", "session_id"],
    )


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(name, "sessions")
    op.drop_table("session_facets")
    op.drop_column("sessions", "name_folded")
