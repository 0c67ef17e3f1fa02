"""fill the lists and the search index in batches

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A batch ends at the first of these bounds.
SESSIONS, MESSAGES = 200, 500
CHARACTERS = 2**20
FOLDED_LENGTH = 500

sessions = sa.table(
    "sessions",
    sa.column("id", sa.Uuid()),
    sa.column("number", sa.BigInteger()),
    sa.column("owner_id", sa.Text()),
    sa.column("former_owner_id", sa.Text()),
    sa.column("name", sa.Text()),
    sa.column("name_folded", sa.Text()),
    sa.column("rag_document_ids", sa.JSON()),
    sa.column("metadata_tags", sa.JSON()),
)
messages = sa.table(
    "chat_messages",
    sa.column("id", sa.BigInteger()),
    sa.column("session_id", sa.Uuid()),
    sa.column("role", sa.Text()),
    sa.column("content", sa.Text()),
)
facets = sa.table(
    "session_facets",
    sa.column("session_id", sa.Uuid()),
    sa.column("kind", sa.Text()),
    sa.column("value", sa.Text()),
    sa.column("owner_id", sa.Text()),
)

# Key, text, scopes.
Entry = tuple[int, str, list[str]]


def prepare(work: Any) -> None:
    work.create_progress()
    Fill(work).fill()


def finish(work: Any) -> None:
    Fill(work).catch_up()


def upgrade() -> None:
    # A schema names the oldest code that may serve it, so older servers can go on.
    for name in ("supported_revision", "oldest_code"):
        op.add_column("alembic_version", sa.Column(name, sa.String(32)))
    op.execute("DROP TABLE migration_progress")


def downgrade() -> None:
    for name in ("supported_revision", "oldest_code"):
        op.drop_column("alembic_version", name)


class Fill:
    """Writes folded names, facets and search entries while servers go on writing.

    It reads a batch and computes its words before it takes the writer lock.
    """

    def __init__(self, work: Any) -> None:
        self.work = work
        self.words = work.frozen("words_0006")

    def number_sessions(self) -> None:
        self.work.frozen("numbers_0004").number_sessions(self.work)

    def fill(self) -> None:
        """Write everything, from where the last attempt ended."""
        self.number_sessions()
        after = self.work.last(revision, "sessions")
        self.fill_sessions(after=UUID(after) if after else None, is_all=True)
        self.fill_messages(int(self.work.last(revision, "messages") or 0))

    def catch_up(self) -> None:
        """Write rows that older servers omitted, and delete rows they left over."""
        self.number_sessions()
        self.fill_messages(self.work.memory.get("last message", 2**62))
        self.fill_sessions(after=None, is_all=False)
        while missing := self.missing_messages():
            if not self.put_messages(missing):
                break  # servers are deleting these messages
        if self.work.is_sqlite:
            self.delete_strays("message_index", messages.c.id)
            self.delete_strays("name_index", sessions.c.number)

    # Sessions

    def fill_sessions(self, *, after: UUID | None, is_all: bool) -> None:
        done = 0
        # length() counts the characters of a text on SQLite and on PostgreSQL.
        size = sum(
            sa.func.length(sa.cast(column, sa.Text()))
            for column in (sessions.c.rag_document_ids, sessions.c.metadata_tags)
        )
        query = sa.select(sessions.c.id, size.label("size")).order_by(sessions.c.id)
        while True:
            following = query if after is None else query.where(sessions.c.id > after)
            keys = within_bounds(self.work.read(following.limit(SESSIONS)))
            if not keys:
                return
            after = keys[-1]
            if is_all or self.stale(self.read_sessions(keys)):
                self.work.write(self.put_sessions, keys, is_all)
            done += len(keys)
            self.work.show(f"sessions: {done}")

    def read_sessions(self, keys: Sequence[UUID]) -> Sequence[sa.Row[Any]]:
        return self.work.read(sa.select(sessions).where(sessions.c.id.in_(keys)))

    def put_sessions(
        self, connection: sa.Connection, keys: Sequence[UUID], is_all: bool
    ) -> None:
        query = sa.select(sessions).where(sessions.c.id.in_(keys))
        # We skip locked sessions so that we cannot deadlock; `catch_up` writes them.
        query = query.order_by(sessions.c.id).with_for_update(skip_locked=True)
        rows = connection.execute(query).all()
        stale = rows if is_all else self.stale(rows)
        changed = [
            {"of": row.id, "folded": self.folded(row)}
            for row in stale
            if row.name_folded != self.folded(row)
        ]
        if changed:
            this = sessions.c.id == sa.bindparam("of", type_=sa.Uuid())
            change = sa.update(sessions).where(this)
            folded = sa.bindparam("folded")
            connection.execute(change.values(name_folded=folded), changed)
        self.put_facets(connection, stale)
        self.put_names(connection, [row for row in stale if row.number is not None])
        if is_all:
            self.work.save(revision, "sessions", keys[-1])

    def stale(self, rows: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
        """Return the sessions whose folded name, facets or search entry is outdated."""
        found: dict[UUID, set[tuple[str, ...]]] = {row.id: set() for row in rows}
        query = sa.select(facets).where(and_kinds(facets.c.session_id.in_(found)))
        for row in self.work.connection.execute(query):
            found[row.session_id].add((row.kind, row.value, row.owner_id))
        named = {row.number for row in rows if row.name and row.number is not None}
        indexed = self.indexed("name_index", named)
        return [
            row
            for row in rows
            if row.name_folded != self.folded(row)
            or (row.number in named - indexed)
            or found[row.id] != set(facets_of(row))
        ]

    def folded(self, row: sa.Row[Any]) -> str:
        # We keep an existing folded name; `chatstore reindex` checks it.
        return row.name_folded or self.words.fold(row.name or "")[:FOLDED_LENGTH]

    def put_facets(
        self, connection: sa.Connection, rows: Sequence[sa.Row[Any]]
    ) -> None:
        keys = [row.id for row in rows]
        its = and_kinds(facets.c.session_id.in_(keys))
        connection.execute(sa.delete(facets).where(its))
        values = [
            {"session_id": row.id, "kind": kind, "value": value, "owner_id": owner_id}
            for row in rows
            for kind, value, owner_id in facets_of(row)
        ]
        if values:
            connection.execute(sa.insert(facets), values)

    def put_names(self, connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> None:
        unnamed = [row.number for row in rows if not row.name]
        if unnamed:
            connection.execute(self.deleting("name_index", unnamed))
        self.put(
            "name_index",
            self.prepared(
                (row.number, row.name, self.words.scopes_of(row.owner_id, row.id))
                for row in rows
                if row.name
            ),
        )

    # Messages

    def fill_messages(self, last: int) -> None:
        done = 0
        size = sa.func.length(messages.c.content).label("size")
        query = sa.select(messages.c.id, size).order_by(messages.c.id).limit(MESSAGES)
        while keys := within_bounds(self.work.read(query.where(messages.c.id > last))):
            self.put_messages(keys)
            last = self.work.memory["last message"] = keys[-1]
            done += len(keys)
            self.work.show(f"messages: {done}")

    def put_messages(self, keys: Sequence[int]) -> int:
        """Write the entries of these messages; return how many were written."""
        owner = sa.func.coalesce(sessions.c.former_owner_id, sessions.c.owner_id)
        indexed = self.words.INDEXED_CHARACTERS
        query = (
            sa.select(
                messages.c.id,
                messages.c.session_id,
                messages.c.role,
                sa.func.substr(messages.c.content, 1, indexed).label("text"),
                owner.label("owner_id"),
            )
            .join_from(messages, sessions, sessions.c.id == messages.c.session_id)
            .where(messages.c.id.in_(keys))
        )
        entries = self.prepared(
            (
                row.id,
                row.text,
                self.words.scopes_of(row.owner_id, row.session_id, row.role),
            )
            for row in self.work.read(query)
        )
        return self.work.write(self.write_messages, entries, keys[-1])

    def write_messages(
        self, connection: sa.Connection, entries: list[dict[str, Any]], last: int
    ) -> int:
        keys = [each["id"] for each in entries]
        query = sa.select(messages.c.id).where(messages.c.id.in_(keys))
        # An entry refers to its message, so we lock those. A message that is being
        # deleted needs no entry, so we skip locked ones.
        query = query.with_for_update(read=True, key_share=True, skip_locked=True)
        there = set(connection.scalars(query))
        kept = [each for each in entries if each["id"] in there]
        self.put("message_index", kept)
        if sa.inspect(connection).has_table("migration_progress"):
            self.work.save(revision, "messages", last)
        return len(kept)

    def missing_messages(self) -> Sequence[int]:
        index = sa.table(
            self.keys_of("message_index"), sa.column("id", sa.BigInteger())
        )
        is_indexed = sa.exists().where(index.c.id == messages.c.id)
        query = sa.select(messages.c.id, sa.func.length(messages.c.content))
        return within_bounds(
            self.work.read(
                query.where(~is_indexed).order_by(messages.c.id).limit(MESSAGES)
            )
        )

    # The index itself

    def prepared(self, entries: Iterable[Entry]) -> list[dict[str, Any]]:
        """Return the parameters of the insert, with the words of each entry."""
        if self.work.is_sqlite:
            return [
                {
                    "id": key,
                    "words": self.words.fts5_words(text),
                    "scope": " ".join(scopes),
                }
                for key, text, scopes in entries
            ]
        return [
            {"id": key, "words": self.words.tsvector_words(text, scopes)}
            for key, text, scopes in entries
        ]

    def put(self, index: str, entries: list[dict[str, Any]]) -> None:
        if not entries:
            return
        if self.work.is_sqlite:
            statement = (
                f"INSERT OR REPLACE INTO {index} (rowid, words, scope)"
                " VALUES (:id, :words, :scope)"
            )
            self.work.connection.execute(sa.text(statement), entries)
            return
        statement = (
            f"INSERT INTO {index} (id, words)"
            " SELECT entry.id, CAST(entry.words AS tsvector)"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[]))"
            " AS entry (id, words)"
            " ON CONFLICT (id) DO UPDATE SET words = excluded.words"
        )
        self.work.connection.execute(
            sa.text(statement),
            {
                "ids": [each["id"] for each in entries],
                "words": [each["words"] for each in entries],
            },
        )

    def keys_of(self, index: str) -> str:
        # FTS5 stores the size of each entry in a table, which we can read by id.
        return f"{index}_docsize" if self.work.is_sqlite else index

    def indexed(self, index: str, keys: Iterable[int]) -> set[int]:
        its = sa.table(self.keys_of(index), sa.column("id", sa.BigInteger()))
        query = sa.select(its.c.id).where(its.c.id.in_(list(keys)))
        return set(self.work.connection.scalars(query))

    def deleting(self, index: str, keys: Sequence[int]) -> sa.Delete:
        key = sa.column("rowid" if self.work.is_sqlite else "id", sa.BigInteger())
        return sa.delete(sa.table(index, key)).where(key.in_(keys))

    def delete_strays(self, index: str, key: sa.ColumnClause[int]) -> None:
        its = sa.table(self.keys_of(index), sa.column("id", sa.BigInteger()))
        is_there = sa.exists().where(key == its.c.id)
        query = sa.select(its.c.id).where(~is_there).limit(MESSAGES)
        while strays := [row.id for row in self.work.read(query)]:
            self.work.write(
                lambda connection, keys: connection.execute(self.deleting(index, keys)),
                strays,
            )


def within_bounds(rows: Sequence[sa.Row[Any]]) -> list[Any]:
    """Return the keys of the first rows that fit into a batch, at least one."""
    keys: list[Any] = []
    total = 0
    for key, size in rows:
        total += size or 0
        if keys and total > CHARACTERS:
            break
        keys.append(key)
    return keys


def and_kinds(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.and_(condition, facets.c.kind.in_(("tag", "document")))


def facets_of(row: sa.Row[Any]) -> list[tuple[str, str, str]]:
    return [
        (kind, value, row.owner_id)
        for kind, values in (
            ("tag", row.metadata_tags),
            ("document", row.rag_document_ids),
        )
        for value in dict.fromkeys(values)
    ]
