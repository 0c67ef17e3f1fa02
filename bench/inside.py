"""Figures that only the database can give: bytes per table, and the time of a scan."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from bench.pairs import NotThere
from bench.timing import each_time
from chatstore.db.sqlite import driver

# The tables of the search index, including the shadow tables of SQLite's FTS5.
_SEARCH = ("message_index", "name_index")
_SCAN = (
    "SELECT id, session_id, seq, content FROM chat_messages"
    " WHERE content LIKE '%{word}%' ORDER BY timestamp DESC LIMIT 20"
)
_HIDDEN = "SELECT 1 FROM sessions WHERE owner_id = '' LIMIT 1"
_SIZES_SQLITE = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
_TABLE_OF = "SELECT name, tbl_name FROM sqlite_schema"
_SIZES_POSTGRESQL = (
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


@contextmanager
def connection_to(url: str) -> Iterator[Any]:
    """Connect to the database directly, past chatstore."""
    if url.startswith("sqlite:///"):
        connection = driver().connect(url.removeprefix("sqlite:///"))
    else:
        import psycopg

        connection = psycopg.connect(url)
    try:
        yield connection
    finally:
        connection.close()


def scan_ms(url: str, word: str, times: int = 3) -> list[float]:
    """Return the sorted milliseconds of `times` searches for a word with LIKE."""
    with connection_to(url) as connection:
        query = _SCAN.format(word=word)
        return each_time(lambda: connection.execute(query).fetchall(), times)


def is_deleting(url: str) -> bool:
    """Whether rows of a hidden session are still to be deleted."""
    with connection_to(url) as connection:
        return bool(connection.execute(_HIDDEN).fetchall())


def bytes_by_table(url: str) -> dict[str, int]:
    """Return the size of each table on disk, its indexes included."""
    if not url.startswith("sqlite:"):
        with connection_to(url) as connection:
            return dict(connection.execute(_SIZES_POSTGRESQL).fetchall())
    return _bytes_in_sqlite(url.removeprefix("sqlite:///"))


def _bytes_in_sqlite(path: str) -> dict[str, int]:
    # Python's own SQLite usually has dbstat; the wheel of a newer SQLite does not.
    with closing(sqlite3.connect(path)) as connection:
        try:
            pages = connection.execute(_SIZES_SQLITE).fetchall()
        except sqlite3.OperationalError as error:
            raise NotThere(f"this SQLite cannot tell: {error}") from error
        table_of = dict(connection.execute(_TABLE_OF).fetchall())
    sizes: dict[str, int] = {}
    for name, size in pages:
        table = table_of.get(name, name)
        sizes[table] = sizes.get(table, 0) + size
    return sizes


def is_of_search(table: str) -> bool:
    """Whether a table belongs to the search index."""
    return table.startswith(_SEARCH)
