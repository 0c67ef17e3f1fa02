"""create the search index

Revision ID: 0004
Revises: 0003
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from chatstore.analyzer import INDEXED_CHARACTERS
from chatstore.entries import fts5_words, scopes_of, tsvector_words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Of the longest messages a batch takes some 200 MB, with the words made of them.
BATCH = 100
# From this release of SQLite on an index can delete without keeping the text.
CONTENTLESS_DELETE = (3, 43)
INDEXES = (
    ("message_index", "chat_messages", "id"),
    ("name_index", "sessions", "number"),
)

sessions = sa.table(
    "sessions",
    sa.column("id", sa.Uuid()),
    sa.column("number", sa.BigInteger()),
    sa.column("owner_id", sa.Text()),
    sa.column("name", sa.Text()),
)
messages = sa.table(
    "chat_messages",
    sa.column("id", sa.BigInteger()),
    sa.column("session_id", sa.Uuid()),
    sa.column("role", sa.Text()),
    sa.column("content", sa.Text()),
)


def upgrade() -> None:
    number_sessions()
    create = create_fts5 if is_sqlite() else create_tables
    create()
    fill("name_index", read_names())
    fill("message_index", read_messages())
    if not is_sqlite():
        create_gin()
        refer_to_rows()


def downgrade() -> None:
    for index, _, _ in INDEXES:
        op.execute(f"DROP TABLE {index}")
    op.drop_index("ix_sessions_number", "sessions")
    op.drop_column("sessions", "number")


def is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def number_sessions() -> None:
    op.add_column("sessions", sa.Column("number", sa.BigInteger(), nullable=True))
    # Small ones, before those that are made of the time.
    op.execute(
        "UPDATE sessions SET number = numbered.number FROM (SELECT id, row_number()"
        " OVER (ORDER BY created_at, id) AS number FROM sessions) AS numbered"
        " WHERE sessions.id = numbered.id"
    )
    op.create_index("ix_sessions_number", "sessions", ["number"], unique=True)


def create_fts5() -> None:
    version = op.get_bind().dialect.dbapi.sqlite_version_info
    kept = ", content = '', contentless_delete = 1"
    for index, _, _ in INDEXES:
        op.execute(
            f"CREATE VIRTUAL TABLE {index} USING fts5(words, scope,"
            f" tokenize = 'ascii'{kept if version >= CONTENTLESS_DELETE else ''})"
        )


def create_tables() -> None:
    for index, _, _ in INDEXES:
        op.execute(
            f"CREATE TABLE {index} ("
            f"id bigint CONSTRAINT pk_{index} PRIMARY KEY, words tsvector NOT NULL)"
        )


def create_gin() -> None:
    # After the rows: built at once it is faster, and denser. Every search reads the
    # list of what is pending, and whoever fills it up waits until it is merged.
    for index, _, _ in INDEXES:
        op.execute(
            f"CREATE INDEX ix_{index}_words ON {index} USING gin (words)"
            " WITH (gin_pending_list_limit = 256)"
        )
        op.execute(f"ANALYZE {index}")


def refer_to_rows() -> None:
    # At the end all rows are checked in one go. Each by itself, PostgreSQL would read
    # all sessions for it: an index over rows that were changed in the transaction that
    # made it is not used in there.
    for index, table, key in INDEXES:
        op.create_foreign_key(
            f"fk_{index}_id_{table}", index, table, ["id"], [key], ondelete="CASCADE"
        )


def read_names() -> Iterator[list[tuple[int, str, list[str]]]]:
    query = sa.select(sessions).where(sessions.c.name != "")
    for batch in batches(query, sessions.c.id):  # see `refer_to_rows`
        yield [(row.number, row.name, scopes_of(row.owner_id, row.id)) for row in batch]


def read_messages() -> Iterator[list[tuple[int, str, list[str]]]]:
    query = sa.select(
        messages.c.id,
        messages.c.session_id,
        messages.c.role,
        sa.func.substr(messages.c.content, 1, INDEXED_CHARACTERS).label("text"),
        sessions.c.owner_id,
    ).join_from(messages, sessions, sessions.c.id == messages.c.session_id)
    for batch in batches(query, messages.c.id):
        yield [
            (row.id, row.text, scopes_of(row.owner_id, row.session_id, row.role))
            for row in batch
        ]


def batches(query: sa.Select[Any], key: sa.ColumnClause[Any]) -> Iterator[Any]:
    query = query.order_by(key).limit(BATCH)
    batch = op.get_bind().execute(query).all()
    while batch:
        yield batch
        following = query.where(key > batch[-1]._mapping[key.name])
        batch = op.get_bind().execute(following).all()


def fill(index: str, found: Iterable[list[tuple[int, str, list[str]]]]) -> None:
    done = 0
    for entries in found:
        insert(index, entries)
        done += len(entries)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{index}: {done}")
    if done and sys.stderr.isatty():
        sys.stderr.write("\n")


def insert(index: str, entries: list[tuple[int, str, list[str]]]) -> None:
    if is_sqlite():
        op.get_bind().execute(
            sa.text(
                f"INSERT INTO {index} (rowid, words, scope)"
                " VALUES (:id, :words, :scope)"
            ),
            [
                {"id": key, "words": fts5_words(text), "scope": " ".join(scopes)}
                for key, text, scopes in entries
            ],
        )
        return
    op.get_bind().execute(
        sa.text(
            f"INSERT INTO {index} (id, words)"
            " SELECT entry.id, CAST(entry.words AS tsvector)"
            " FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[]))"
            " AS entry (id, words)"
        ),
        {
            "ids": [key for key, _, _ in entries],
            "words": [tsvector_words(text, scopes) for _, text, scopes in entries],
        },
    )
