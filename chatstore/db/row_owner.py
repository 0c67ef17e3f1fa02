"""Tells PostgreSQL whose rows a thread may see, for the policies of row security.

The policies (`store.row_security`) compare owners with the setting `chatstore.owner` of
the connection. We send it as a parameter of its own statement, when a connection leaves
the pool and the last thread had another owner. No transaction is open then, so no
rollback can undo it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SETTING = "chatstore.owner"
# The setting of work for all owners. No owner id begins with a space, so no caller can
# have it, and no row has it as its owner.
ALL_OWNERS = " *"
# The setting of a request whose caller is not known yet: it sees no row.
NO_OWNER = ""
# ALL_OWNERS as an option of libpq, which splits options at spaces.
ALL_OWNERS_OPTION = f"-c {SETTING}=" + ALL_OWNERS.replace(" ", "\\ ")
_STATEMENT = f"SELECT set_config('{SETTING}', $1, false)".encode()
# `psycopg.pq.ExecStatus.TUPLES_OK`; psycopg may be missing where SQLite is used.
_TUPLES_OK = 2
_thread_local = threading.local()


def row_owner() -> str:
    """Return whose rows this thread's next connection shows: by default everybody's."""
    owner: str = getattr(_thread_local, "owner", ALL_OWNERS)
    return owner


def set_row_owner(owner_id: str) -> None:
    """Set whose rows this thread's next connection shows."""
    _thread_local.owner = owner_id


@contextmanager
def rows_of(owner_id: str) -> Iterator[None]:
    """Show only rows of `owner_id` to the connections that the block opens."""
    before = row_owner()
    set_row_owner(owner_id)
    try:
        yield
    finally:
        set_row_owner(before)


def apply_row_owner(connection: Any, record: Any, proxy: Any) -> None:
    """Give a connection that leaves the pool this thread's owner."""
    owner_id = row_owner()
    if record.info.get(SETTING) == owner_id:
        return
    # psycopg would begin a transaction, and takes twice as long as libpq.
    result = connection.pgconn.exec_params(_STATEMENT, [owner_id.encode()])
    if result.status != _TUPLES_OK:
        message = connection.pgconn.error_message.decode(errors="replace").strip()
        raise connection.OperationalError(message)
    record.info[SETTING] = owner_id
