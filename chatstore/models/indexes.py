"""Names of the search index's tables, which have no models: no ORM writes them.

On SQLite each is an FTS5 table with some more behind it, on PostgreSQL an ordinary
one; the migration has what they look like.
"""

MESSAGES, NAMES = "message_index", "name_index"
# Ids of messages that have no entry yet, on SQLite only.
PENDING = "message_index_pending"


def is_index_table(name: str) -> bool:
    """Whether a table belongs to the search index."""
    return name.startswith((MESSAGES, NAMES))
