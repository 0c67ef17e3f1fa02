"""find tags whatever their case and Unicode form

Revision ID: 0013
Revises: 0012
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# A batch ends at the first of these bounds.
SESSIONS, CHARACTERS = 200, 2**20
INDEX, OLD_INDEX = (
    "ix_session_facets_values",
    "ix_session_facets_owner_id_kind_value_session_id",
)

sessions = sa.table(
    "sessions",
    sa.column("id", sa.Uuid()),
    sa.column("number", sa.BigInteger()),
    sa.column("owner_id", sa.Text()),
    sa.column("former_owner_id", sa.Text()),
    sa.column("metadata_tags", sa.JSON()),
)
facets = sa.table(
    "session_facets",
    sa.column("session_id", sa.Uuid()),
    sa.column("kind", sa.Text()),
    sa.column("value", sa.Text()),
    sa.column("owner_id", sa.Text()),
    sa.column("label", sa.Text()),
    sa.column("number", sa.BigInteger()),
)
# Sessions that their owner does not see have no facets.
IS_VISIBLE = sessions.c.former_owner_id.is_(None)


def prepare(work: Any) -> None:
    work.add_column("session_facets", "label", "TEXT")
    work.add_column("session_facets", "number", "BIGINT")
    work.create_progress()
    Fill(work).fill()
    value = "value" if work.is_sqlite else "value text_pattern_ops"
    columns = ["owner_id", "kind", value, "number", "session_id"]
    work.create_index(INDEX, "session_facets", columns)


def finish(work: Any) -> None:
    Fill(work).catch_up()


def upgrade() -> None:
    op.execute(f"DROP INDEX {OLD_INDEX}")
    op.execute("DROP TABLE migration_progress")


def downgrade() -> None:
    op.execute(
        "UPDATE session_facets SET value = label"
        " WHERE kind = 'tag' AND label IS NOT NULL"
    )
    op.execute(f"DROP INDEX {INDEX}")
    columns = ["owner_id", "kind", "value", "session_id"]
    op.create_index(OLD_INDEX, "session_facets", columns)
    for name in ("label", "number"):
        op.execute(f"ALTER TABLE session_facets DROP COLUMN {name}")


class Fill:
    """Rewrites the facets of tags while servers go on writing."""

    def __init__(self, work: Any) -> None:
        self.work = work
        self.tag_value = work.frozen("tags_0013").tag_value

    def fill(self) -> None:
        """Rewrite all, from where the last attempt ended."""
        last = self.work.last(revision, "sessions")
        self.rewrite(after=UUID(last) if last else None, is_saving=True)

    def catch_up(self) -> None:
        """Rewrite the facets that older servers wrote meanwhile."""
        self.rewrite(after=None, is_saving=False)

    def rewrite(self, *, after: UUID | None, is_saving: bool) -> None:
        done = 0
        size = sa.func.length(sa.cast(sessions.c.metadata_tags, sa.Text()))
        query = sa.select(sessions.c.id, size).where(IS_VISIBLE)
        query = query.order_by(sessions.c.id).limit(SESSIONS)
        while True:
            following = query if after is None else query.where(sessions.c.id > after)
            keys = within_bounds(self.work.read(following))
            if not keys:
                return
            after = keys[-1]
            tagged = sa.select(sessions).where(sessions.c.id.in_(keys))
            # Most batches need no write once they are filled.
            if self.stale(self.work.read(tagged)):
                self.work.write(self.put, keys, is_saving)
            self.work.end_transaction()
            done += len(keys)
            self.work.show(f"tags of sessions: {done}")

    def put(
        self, connection: sa.Connection, keys: Sequence[UUID], is_saving: bool
    ) -> None:
        query = sa.select(sessions).where(sessions.c.id.in_(keys), IS_VISIBLE)
        # We skip locked sessions so that we cannot deadlock; `catch_up` writes them.
        query = query.order_by(sessions.c.id).with_for_update(skip_locked=True)
        stale = self.stale(connection.execute(query).all())
        if stale:
            ids = [row.id for row in stale]
            is_tag = sa.and_(facets.c.session_id.in_(ids), facets.c.kind == "tag")
            connection.execute(sa.delete(facets).where(is_tag))
            names = [column.name for column in facets.columns]
            values = [
                dict(zip(names, facet, strict=True))
                for row in stale
                for facet in self.facets_of(row)
            ]
            if values:
                connection.execute(sa.insert(facets), values)
        if is_saving:
            self.work.save(revision, "sessions", keys[-1])

    def stale(self, rows: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
        """Return the sessions whose tags are indexed in another way."""
        found: dict[UUID, set[tuple[Any, ...]]] = {row.id: set() for row in rows}
        is_tag = sa.and_(facets.c.session_id.in_(found), facets.c.kind == "tag")
        for facet in self.work.connection.execute(sa.select(facets).where(is_tag)):
            found[facet.session_id].add(tuple(facet))
        return [row for row in rows if found[row.id] != set(self.facets_of(row))]

    def facets_of(self, row: sa.Row[Any]) -> list[tuple[Any, ...]]:
        labels: dict[str, str] = {}
        for tag in row.metadata_tags:
            labels.setdefault(self.tag_value(tag), tag)
        return [
            (
                row.id,
                "tag",
                value,
                row.owner_id,
                None if label == value else label,
                row.number,
            )
            for value, label in labels.items()
        ]


def within_bounds(rows: Sequence[sa.Row[Any]]) -> list[UUID]:
    """Return the keys of the first rows that fit into a batch, at least one."""
    keys: list[UUID] = []
    total = 0
    for key, size in rows:
        total += size or 0
        if keys and total > CHARACTERS:
            break
        keys.append(key)
    return keys
