"""chatstore on PostgreSQL through pgbouncer in transaction mode."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import (
    ROOT,
    SESSIONS,
    Child,
    assert_problem,
    clean_environ,
    free_port,
    messages_url,
    need,
    session_url,
    wait_until,
)
from tests.support.nginx import Nginx, open_folder, start_gunicorn

# Fewer connections than threads, so that requests share connections.
CONFIG = """
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
"""


@pytest.fixture(scope="module")
def database(postgres: Any, postgres_template: str) -> Iterator[str]:
    """The name of a migrated database."""
    name = postgres.create_database(postgres_template)
    yield name
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def pooled_url(postgres: Any, database: str) -> Iterator[str]:
    """The URL of that database behind pgbouncer."""
    need("pgbouncer", shutil.which("pgbouncer") is not None)
    host = Path(postgres.url(database).partition("host=")[2])
    # pgbouncer refuses to run as root.
    owner = {"user": host.stat().st_uid, "extra_groups": []} if os.getuid() == 0 else {}
    port = free_port()
    with open_folder() as folder:
        config = folder / "pgbouncer.ini"
        config.write_text(CONFIG.format(host=host, port=port))
        command = ["pgbouncer", str(config)]
        with Child(command, folder / "log", **owner) as pgbouncer:
            pgbouncer.wait_for("process up")
            yield f"postgresql://anybody@127.0.0.1:{port}/{database}"


@pytest.fixture(scope="module")
def settings(pooled_url: str) -> dict[str, str]:
    return {
        "database_url": pooled_url,
        "database_pooler": "pgbouncer",
        "lock_timeout_seconds": "1",
    }


@pytest.fixture(scope="module")
def server(settings: dict[str, str]) -> Iterator[Nginx]:
    """The whole chain: nginx, gunicorn, pgbouncer, PostgreSQL."""
    with (
        open_folder() as folder,
        start_gunicorn(folder, **settings),
        Nginx(folder) as nginx,
    ):
        yield nginx


def append(server: Nginx, chat: Any, times: int) -> None:
    def post(number: int) -> int:
        body = {"content": f"m{number}" * 500}
        client = f"127.0.4.{number % 16 + 1}"
        return server.request(
            "POST", messages_url(chat), body, client=client
        ).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(post, range(times))) == {201}


def test_concurrent_appends_are_all_there_in_one_order(server):
    chat = server.request("POST", SESSIONS, {"name": "one"}).json
    append(server, chat, 600)
    page = server.request("GET", f"{messages_url(chat)}?limit=100&after=250").json
    assert [each["seq"] for each in page["messages"]] == list(range(251, 351))
    streamed = server.request("GET", messages_url(chat)).json["messages"]
    assert [each["seq"] for each in streamed] == list(range(1, 601))
    assert len({each["content"] for each in streamed}) == 600


def test_sessions_are_changed_listed_and_deleted(server):
    chats = [server.request("POST", SESSIONS, {"name": f"{n}"}).json for n in range(9)]
    for chat in chats:
        append(server, chat, 3)
        changed = server.request("PATCH", session_url(chat), {"metadata_tags": ["a"]})
        assert changed.json["metadata_tags"] == ["a"]
        assert changed.json["message_count"] == 3
    first, *others = chats
    assert server.request("DELETE", session_url(first)).status_code == 204
    assert_problem(server.request("GET", session_url(first)), 404)
    listed = server.request("GET", f"{SESSIONS}?limit=8").json["sessions"]
    assert [each["id"] for each in listed] == [each["id"] for each in others[::-1]]


# Behind pgbouncer, no connection setting can bound the wait.
def test_waiting_for_a_lock_is_bounded(server, postgres, database):
    chat = server.request("POST", SESSIONS, {}).json
    lock = "SELECT FROM sessions WHERE id = %s FOR UPDATE"
    with psycopg.connect(postgres.url(database)) as connection:
        connection.execute(lock, [chat["id"]])
        refused = server.request("POST", messages_url(chat), {"content": "x"})
        assert_problem(refused, 503)
    append(server, chat, 1)


def test_verify_finds_nothing(server, settings, folder):
    append(server, server.request("POST", SESSIONS, {}).json, 5)
    environ = {f"CHATSTORE_{name.upper()}": text for name, text in settings.items()}
    verified = subprocess.run(
        [sys.executable, "-m", "chatstore", "verify"],
        env=clean_environ(PYTHONPATH=str(ROOT), **environ),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert verified.stdout.startswith("ok: ")


def test_the_database_may_restart_behind_it(server, postgres, database):
    append(server, server.request("POST", SESSIONS, {}).json, 20)
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{database}'"
    )
    wait_until(lambda: server.request("GET", "/readyz").status_code == 200)
    append(server, server.request("POST", SESSIONS, {}).json, 20)
