"""Classifies database errors: retry now, unavailable for a while, or our bug.

Knows the error codes of SQLite and PostgreSQL; opens no connection.
"""

from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    TimeoutError,
)

from chatstore.errors import DatabaseFull, DatabaseUnavailable

# Serialization failure and deadlock: PostgreSQL asks the client to retry.
_RETRY_SQLSTATES = frozenset({"40001", "40P01"})
_LOCK_TIMEOUT_SQLSTATE = "55P03"
# A prepared statement that DEALLOCATE or DISCARD has dropped.
_NO_SUCH_STATEMENT_SQLSTATE = "26000"
# The PostgreSQL function that refuses a cached plan when its column types have changed.
# Other errors share its SQLSTATE, and its message may be translated, so we check this.
_STALE_PLAN_FUNCTION = "RevalidateCachedQuery"
# A standby, or a primary in read-only mode.
_READ_ONLY_SQLSTATE = "25006"
# SQLITE_BUSY and SQLITE_LOCKED (https://sqlite.org/rescode.html).
_RETRY_SQLITE_CODES = frozenset({5, 6})
# Two processes may choose the same session number; a retry chooses another. Two clients
# may choose the same id or external id; a retry sees the session that has it. The
# databases report the violated unique constraint by these names.
_RACED_CONSTRAINTS = (
    "ix_sessions_number",
    "UNIQUE constraint failed: sessions.number",
    "ix_sessions_external_id",
    "pk_sessions",
)
# SQLSTATE classes that concern the database's state, not the statement: connection,
# login, rollback, resources, intervention, system, configuration. psycopg raises
# OperationalError for others too, such as 54 (program_limit_exceeded). There the same
# statement fails every time, so the client must not try again.
_UNAVAILABLE_CLASSES = frozenset({"08", "28", "40", "53", "57", "58", "F0"})
# object_in_use and lock_not_available; the rest of class 55 is our bug.
_UNAVAILABLE_SQLSTATES = frozenset({_READ_ONLY_SQLSTATE, "55006", "55P03"})
_DISK_FULL_CODES = frozenset({"53100", 13})  # disk_full and SQLITE_FULL
# The setting whose timeout caused each error.
_TIMEOUT_SETTINGS = {
    "57014": "CHATSTORE_STATEMENT_TIMEOUT_SECONDS",  # query_canceled
    9: "CHATSTORE_STATEMENT_TIMEOUT_SECONDS",  # SQLITE_INTERRUPT
    _LOCK_TIMEOUT_SQLSTATE: "CHATSTORE_LOCK_TIMEOUT_SECONDS",  # lock_not_available
    5: "CHATSTORE_LOCK_TIMEOUT_SECONDS",  # SQLITE_BUSY
}


def is_transient(error: DBAPIError) -> bool:
    """Whether a retry of the same transaction may succeed."""
    if error.connection_invalidated or _is_lost_race(error):
        return True
    return _error_code(error) in _RETRY_SQLSTATES | _RETRY_SQLITE_CODES


def is_lock_timeout(error: DBAPIError) -> bool:
    """Whether PostgreSQL's `lock_timeout` ended a wait for a lock."""
    return _error_code(error) == _LOCK_TIMEOUT_SQLSTATE


def is_stale_statement(error: BaseException) -> bool:
    """Whether the driver's `error` means that a prepared statement is stale."""
    diagnosis = getattr(error, "diag", None)
    if getattr(diagnosis, "sqlstate", None) == _NO_SUCH_STATEMENT_SQLSTATE:
        return True
    return getattr(diagnosis, "source_function", None) == _STALE_PLAN_FUNCTION


def db_error_text(error: BaseException) -> str:
    """Return the driver's error message as one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def is_unavailable(error: Exception) -> bool:
    """Whether the database, not the request, caused `error`."""
    sqlstate: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    if sqlstate is not None:
        has_unavailable_class = sqlstate[:2] in _UNAVAILABLE_CLASSES
        return has_unavailable_class or sqlstate in _UNAVAILABLE_SQLSTATES
    return isinstance(error, OperationalError | InterfaceError | TimeoutError)


def explain_unavailable(error: Exception) -> DatabaseUnavailable:
    """Return the API error for an `error` that the database caused."""
    code = _error_code(error)
    if code in _DISK_FULL_CODES:
        return DatabaseFull("The disk is full: writes fail, reads still work.")
    if isinstance(error, TimeoutError):
        setting: str | None = "CHATSTORE_POOL_TIMEOUT_SECONDS"
    else:
        setting = _TIMEOUT_SETTINGS.get(code)
    if setting is not None:
        return DatabaseUnavailable(f"The database took longer than {setting}.")
    return DatabaseUnavailable("The database is unavailable. Try again later.")


def _is_lost_race(error: DBAPIError) -> bool:
    if not isinstance(error, IntegrityError):
        return False
    diagnosis = getattr(error.orig, "diag", None)
    refused_by = getattr(diagnosis, "constraint_name", None) or str(error.orig)
    return refused_by in _RACED_CONSTRAINTS


def _error_code(error: Exception) -> str | int:
    # A SQLSTATE, or SQLite's primary result code: the low byte of an extended one.
    cause = getattr(error, "orig", None)
    sqlstate: str | None = getattr(cause, "sqlstate", None)
    return sqlstate or getattr(cause, "sqlite_errorcode", 0) & 0xFF
