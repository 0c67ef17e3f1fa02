"""PostgreSQL's row security: the policies that show a request only its owner's rows.

They are a second wall: a query that forgets the owner finds nothing of others. They are
no part of the migrations, because a server of an earlier version sets no owner and
would see no row. `db.row_owner` sets the owner. api_keys, login_sessions and shares
have no policy, because they are read before the caller is known; audit_entries has
none, because an entry may have no owner; the tables of the search index have none,
because PostgreSQL does not use an index for a search below a policy.
"""

from collections.abc import Iterator

from sqlalchemy import text

from chatstore.db import db, is_sqlite
from chatstore.db.row_owner import ALL_OWNERS, SETTING
from chatstore.errors import NoRowSecurity, SettingsError

ENABLE_COMMAND = "chatstore row-security enable"
POLICY = "chatstore_owner"
# A subquery is computed once for a statement, not for each row.
_THE_OWNER = f"(SELECT nullif(current_setting('{SETTING}', true), ''))"
_IS_OWN = f"owner_id = {_THE_OWNER}"
_OF_OWN_SESSION = "EXISTS (SELECT FROM sessions s WHERE s.id = {table}.session_id)"
_OF_OWN_MESSAGE = "EXISTS (SELECT FROM chat_messages m WHERE m.id = {table}.message_id)"
# For each table, the condition of the owner's rows. The rows of a session in the trash
# may name the trash as their owner, so these also ask for the session.
CONDITIONS = {
    "sessions": f"coalesce(former_owner_id, owner_id) = {_THE_OWNER}",
    "chat_messages": _OF_OWN_SESSION,
    "message_revisions": _OF_OWN_MESSAGE,
    "message_feedback": f"{_IS_OWN} OR {_OF_OWN_MESSAGE}",
    "message_changes": f"{_IS_OWN} OR {_OF_OWN_SESSION}",
    "session_facets": f"{_IS_OWN} OR {_OF_OWN_SESSION}",
    "session_tombstones": _IS_OWN,
    "idempotency_records": _IS_OWN,
    "usage_counts": _IS_OWN,
}
_PROTECTED = text(
    "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid"
    " WHERE relnamespace = current_schema()::regnamespace AND polname = :policy"
    " AND relrowsecurity AND relforcerowsecurity"
)
_BYPASSES = text(
    "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
)


def enable_row_security() -> None:
    """Create or replace the policies; raises SettingsError on SQLite."""
    _require_postgresql()
    for table in sorted(CONDITIONS):  # one order, so two runs cannot deadlock
        _drop_policy(table)
        for statement in _statements(table):
            db.session.execute(text(statement))


def disable_row_security() -> None:
    """Drop the policies; raises SettingsError on SQLite."""
    _require_postgresql()
    for table in sorted(CONDITIONS):
        _drop_policy(table)
        alter = f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
        db.session.execute(text(f"{alter}, NO FORCE ROW LEVEL SECURITY"))


def list_unprotected_tables() -> list[str]:
    """Return the tables that should have a policy and have none in force."""
    if is_sqlite():
        return sorted(CONDITIONS)
    return sorted({*CONDITIONS} - {*db.session.scalars(_PROTECTED, {"policy": POLICY})})


def bypasses_row_security() -> bool:
    """Whether PostgreSQL applies no policy to our user: a superuser, for example."""
    return bool(db.session.scalar(_BYPASSES))


def check_row_security() -> None:
    """Raise NoRowSecurity, with what to do, unless all policies are in force."""
    if bypasses_row_security():
        raise NoRowSecurity(
            "CHATSTORE_ROW_SECURITY is 1, but PostgreSQL applies no policy to its user,"
            " who is a superuser or has BYPASSRLS. Connect as another user."
        )
    if missing := list_unprotected_tables():
        raise NoRowSecurity(
            f"CHATSTORE_ROW_SECURITY is 1, but {', '.join(missing)} have no row"
            f" security. Run: {ENABLE_COMMAND}"
        )


def _require_postgresql() -> None:
    if is_sqlite():
        raise SettingsError("Row security needs PostgreSQL.")


def _drop_policy(table: str) -> None:
    db.session.execute(text(f"DROP POLICY IF EXISTS {POLICY} ON {table}"))


def _statements(table: str) -> Iterator[str]:
    condition = CONDITIONS[table].format(table=table)
    yield (
        f"CREATE POLICY {POLICY} ON {table}"
        f" USING ({_THE_OWNER} = '{ALL_OWNERS}' OR {condition})"
    )
    yield (f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
