"""Removes the words of deleted texts from SQLite's index; no HTTP, no commit.

FTS5 keeps no texts here, so it cannot know the words of a deleted entry. It notes the
entry's key in a tombstone, and drops its words when it merges the segment of the index
that has them. A merge of all segments leaves no tombstone. PostgreSQL's index loses the
words when its table is vacuumed.
"""

from sqlalchemy import text

from chatstore.db import db, is_sqlite

# Pages of the index that one transaction writes: about 30 ms of work.
STEP_PAGES = 64
# FTS5 keeps tombstones in the shadow table with the other pages of the index. Their ids
# begin here (fts5_index.c, FTS5_TOMBSTONE_ROWID).
_FIRST_TOMBSTONE = 2**53


def has_deleted_words(index: str) -> bool:
    """Return whether the index may hold words of deleted or replaced entries."""
    if not is_sqlite():
        return False
    query = f"SELECT 1 FROM {index}_data WHERE id >= {_FIRST_TOMBSTONE} LIMIT 1"  # nosec B608
    return db.session.scalar(text(query)) is not None


def merge_step(index: str, *, is_first: bool, pages: int = STEP_PAGES) -> bool:
    """Merge some pages of the index; return whether a merge of all has more to do.

    The first step of a merge chooses the segments: all that exist then.
    """
    connection = db.session.connection()
    driver = connection.connection.driver_connection
    assert driver is not None
    before = driver.total_changes
    merging = f"INSERT INTO {index} ({index}, rank) VALUES ('merge', :pages)"  # nosec B608
    connection.execute(text(merging), {"pages": -pages if is_first else pages})
    # FTS5 documents this sign of its end: fewer than two changes.
    return bool(driver.total_changes - before >= 2)
