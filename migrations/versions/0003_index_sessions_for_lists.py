"""index sessions for filtered and sorted lists

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from chatstore.analyzer import fold

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BATCH = 1000
FOLDED_LENGTH = 500
INDEXES = (
    ("ix_sessions_created_at", ("owner_id", "created_at", "id"), None),
    ("ix_sessions_name", ("owner_id", "name_folded", "id"), None),
    (
        "ix_sessions_model",
        ("owner_id", "llm_model_name", "last_updated_at", "id"),
        None,
    ),
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
    sa.column("owner_id", sa.Text()),
    sa.column("name", sa.Text()),
    sa.column("name_folded", sa.Text()),
    sa.column("rag_document_ids", sa.JSON()),
    sa.column("metadata_tags", sa.JSON()),
)
facets = sa.table(
    "session_facets",
    sa.column("session_id", sa.Uuid()),
    sa.column("kind", sa.Text()),
    sa.column("value", sa.Text()),
    sa.column("owner_id", sa.Text()),
)


def upgrade() -> None:
    folded = sa.String(FOLDED_LENGTH)
    op.add_column(
        "sessions",
        sa.Column(
            "name_folded",
            folded.with_variant(sa.String(FOLDED_LENGTH, collation="C"), "postgresql"),
            server_default=sa.text("''"),
            nullable=False,
        ),
    )
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
    for batch in read_sessions():
        fold_names(batch)
        fill_facets(batch)
    op.create_index(
        "ix_session_facets_owner_id_kind_value_session_id",
        "session_facets",
        ["owner_id", "kind", "value", "session_id"],
    )
    for name, columns, where in INDEXES:
        op.create_index(
            name,
            "sessions",
            list(columns),
            sqlite_where=sa.text(where.replace("true", "1")) if where else None,
            postgresql_where=sa.text(where) if where else None,
        )


def read_sessions() -> Iterator[list[sa.Row]]:
    # In the order of the primary key, from where the last batch ended: a cursor
    # would not outlive the changes that are made meanwhile.
    query = sa.select(sessions).order_by(sessions.c.id).limit(BATCH)
    batch = op.get_bind().execute(query).all()
    while batch:
        yield batch
        following = query.where(sessions.c.id > batch[-1].id)
        batch = op.get_bind().execute(following).all()


def fold_names(batch: list[sa.Row]) -> None:
    changes = [
        {"of": row.id, "folded": fold(row.name)[:FOLDED_LENGTH]}
        for row in batch
        if row.name
    ]
    if changes:
        op.get_bind().execute(
            sa.update(sessions)
            .where(sessions.c.id == sa.bindparam("of", type_=sa.Uuid()))
            .values(name_folded=sa.bindparam("folded")),
            changes,
        )


def fill_facets(batch: list[sa.Row]) -> None:
    rows = [
        {"session_id": row.id, "kind": kind, "value": value, "owner_id": row.owner_id}
        for row in batch
        for kind, values in (
            ("tag", row.metadata_tags),
            ("document", row.rag_document_ids),
        )
        for value in dict.fromkeys(values)
    ]
    if rows:
        op.get_bind().execute(sa.insert(facets), rows)


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(name, "sessions")
    op.drop_table("session_facets")
    op.drop_column("sessions", "name_folded")
