"""Helpers that most tests use; rarer ones are imported from their own module here."""

from tests.support.api import (
    ANY_ID,
    API,
    JSON,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    parsed,
    session_url,
)
from tests.support.clock import TickingClock
from tests.support.databases import (
    PostgresServer,
    make_settings,
    on_postgresql,
    on_sqlite,
)
from tests.support.environment import (
    OWN_DATA,
    ROOT,
    SHARED_DATA,
    clean_environ,
    free_port,
    need,
    shared_data,
)
from tests.support.servers import Child, LiveResponse, LiveServer
from tests.support.waiting import (
    is_held_up,
    wait_for_deletions,
    wait_for_transactions,
    wait_until,
)

__all__ = (
    "ANY_ID",
    "API",
    "JSON",
    "MISSING_ID",
    "OWN_DATA",
    "ROOT",
    "SESSIONS",
    "SHARED_DATA",
    "Child",
    "LiveResponse",
    "LiveServer",
    "PostgresServer",
    "TickingClock",
    "assert_problem",
    "clean_environ",
    "count",
    "free_port",
    "is_held_up",
    "make_settings",
    "messages_url",
    "need",
    "on_postgresql",
    "on_sqlite",
    "parsed",
    "session_url",
    "shared_data",
    "wait_for_deletions",
    "wait_for_transactions",
    "wait_until",
)
