"""The database object, column types and transactions; no models, no HTTP."""

from chatstore.db.engine import (
    Base,
    cached_per_database,
    database_state,
    db,
    init_database,
    is_sqlite,
)
from chatstore.db.transactions import (
    MAX_RETRIES,
    copy_turn,
    core_transaction,
    is_in_transaction,
    new_deadline,
    prepared,
    prepared_first,
    read_connection,
    run_core_write,
    run_read,
    run_transaction,
    run_write,
    search_turn,
    transaction,
    write_connection,
)
from chatstore.db.types import (
    JsonObject,
    UtcDateTime,
    next_instant,
)

__all__ = (
    "Base",
    "JsonObject",
    "MAX_RETRIES",
    "UtcDateTime",
    "copy_turn",
    "core_transaction",
    "database_state",
    "db",
    "run_core_write",
    "run_write",
    "init_database",
    "is_in_transaction",
    "cached_per_database",
    "is_sqlite",
    "new_deadline",
    "next_instant",
    "prepared",
    "prepared_first",
    "read_connection",
    "run_read",
    "run_transaction",
    "search_turn",
    "transaction",
    "write_connection",
)
