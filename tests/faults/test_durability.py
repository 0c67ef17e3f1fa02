import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from chatstore.app import create_app
from chatstore.db import db
from tests.support import (
    SESSIONS,
    LiveServer,
    PostgresServer,
    make_settings,
    messages_url,
    need,
    on_postgresql,
    wait_until,
)
from tests.support.databases import CLEANER

APPENDS = 20
TRACED = "write,writev,pwrite64,pwritev,fsync,fdatasync,sendto,sendmsg"
PRODUCT = "chatstore.app:create_app()"
# The same application, but commits do not wait for the disk.
CARELESS = """
from sqlalchemy import event
from chatstore.app import create_app
from chatstore.db import db

app = create_app()
with app.app_context():
    event.listen(
        db.engine,
        "connect",
        lambda connection, _: connection.execute("PRAGMA synchronous = NORMAL"),
    )
"""


@contextmanager
def traced(process_id: str, output: Path) -> Iterator[None]:
    """Write the system calls of all threads to `output` while the block runs."""
    command = ["strace", "-f", "-y", "-s", "40", "-e", f"trace={TRACED}"]
    with subprocess.Popen(
        [*command, "-o", output, "-p", process_id], stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr is not None
        greeting = strace.stderr.readline()
        need("permission to trace", "attached" in greeting)
        try:
            yield
        finally:
            strace.send_signal(signal.SIGINT)  # strace detaches and ends
            strace.wait()


def unflushed_answers(trace: str) -> Iterator[str]:
    """Yield a complaint for each 201 sent before its commit was flushed.

    `trace` is the output of `strace -f -y` on a server that handles one request at a
    time. A call that another thread interrupts in the output is joined again.
    """
    begun: dict[str, str] = {}
    unflushed = flushed = 0
    for line in trace.splitlines():
        thread, call = line.split(maxsplit=1)
        if '"HTTP/1.1 201' in call:
            if unflushed or not flushed:
                yield f"{unflushed} writes were not flushed before {call}"
            unflushed = flushed = 0
            continue
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix(" <unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", call):
            call = begun.pop(thread, "") + call[resumed.end() :]
        if re.match(r"f(data)?sync\(\d+<.*-wal>\) += 0", call):
            flushed, unflushed = unflushed, 0
        elif re.match(r"p?write[v64]*\(\d+<.*-wal>", call):
            unflushed += 1


@pytest.fixture
def trace_appends(sqlite_template: Path, tmp_path: Path) -> Callable[[str], str]:
    """Return a function that traces an application's server during appends."""
    need("strace", shutil.which("strace") is not None)

    def trace(application: str) -> str:
        database = tmp_path / "chatstore.db"
        shutil.copy(sqlite_template, database)
        settings = {"workers": "1", "database_url": f"sqlite:///{database}"}
        with LiveServer(tmp_path, application=application, **settings) as server:
            (worker,) = server.worker_ids
            chat = server.request("POST", SESSIONS, {}).json
            with traced(str(worker), tmp_path / "trace"):
                for number in range(APPENDS):
                    answer = server.request(
                        "POST", messages_url(chat), {"content": f"m{number}"}
                    )
                    assert answer.status_code == 201
        return (tmp_path / "trace").read_text()

    return trace


def test_no_append_is_acknowledged_before_it_is_flushed(trace_appends: Any) -> None:
    trace = trace_appends(PRODUCT)
    assert trace.count("HTTP/1.1 201") == APPENDS
    assert list(unflushed_answers(trace)) == []


def test_a_server_that_does_not_flush_is_found_out(
    trace_appends: Any, tmp_path: Path
) -> None:
    (tmp_path / "careless.py").write_text(CARELESS)
    trace = trace_appends("careless:app")
    assert trace.count("HTTP/1.1 201") == APPENDS
    assert len(list(unflushed_answers(trace))) == APPENDS


@pytest.mark.parametrize(
    ("trace", "complaints"),
    [
        ("1 pwrite64(9</d-wal>, x) = 1\n1 fdatasync(9</d-wal>) = 0\n{}", 0),
        ("1 pwrite64(9</d-wal>, x) = 1\n{}\n1 fdatasync(9</d-wal>) = 0", 1),
        ("1 fdatasync(9</d-wal>) = 0\n1 pwrite64(9</d-wal>, x) = 1\n{}", 1),
        ("1 pwrite64(9</d-wal>, x) = 1\n1 fdatasync(9</d-wal>) = -1 EIO (x)\n{}", 1),
        ("1 pwrite64(9</d-wal>, x) = 1\n1 fdatasync(8</d.db>) = 0\n{}", 1),
        (
            "1 pwrite64(9</d-wal>, x) = 1\n1 fdatasync(9</d-wal> <unfinished ...>\n"
            "2 write(2</l>) = 1\n1 <... fdatasync resumed>) = 0\n{}",
            0,
        ),
        ("{}", 1),
    ],
)
def test_the_trace_is_judged_by_its_order(trace: str, complaints: int) -> None:
    answer = '1 sendto(15<socket:[1]>, "HTTP/1.1 201 CREATED", 446, 0, NULL, 0) = 446'
    assert len(list(unflushed_answers(trace.format(answer)))) == complaints


@pytest.fixture
def flushing_postgres(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The run's PostgreSQL with fsync on, as in production."""
    set_fsync(postgres, "on")
    yield postgres
    set_fsync(postgres, "off")


def set_fsync(server: PostgresServer, value: str) -> None:
    server.execute(f"ALTER SYSTEM SET fsync = {value}")
    server.execute("SELECT pg_reload_conf()")
    wait_until(lambda: ask(server, "SHOW fsync") == value)


def ask(server: PostgresServer, query: str) -> Any:
    ((answer,),) = server.execute(query)
    return answer


def count_flushes(server: PostgresServer) -> int:
    """Return how often clients flushed PostgreSQL's WAL."""
    return ask(
        server,
        "SELECT coalesce(sum(fsyncs), 0)::int FROM pg_stat_io"
        " WHERE object = 'wal' AND backend_type = 'client backend'",
    )


def end_connections(app: Flask, server: PostgresServer) -> None:
    """Close all connections: each then adds its flushes to the statistics."""
    with app.app_context():
        name = db.engine.url.database
        db.engine.dispose()
    clients = (
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
        f" AND application_name <> '{CLEANER}'"
    )
    wait_until(lambda: ask(server, clients) == 0)


def append_to_postgresql(app: Flask, server: PostgresServer) -> int:
    """Append messages one at a time; return the number of flushes."""
    client = app.test_client()
    chat = client.post(SESSIONS, json={}).json
    end_connections(app, server)
    before = count_flushes(server)
    for number in range(APPENDS):
        body = {"content": f"m{number}"}
        assert client.post(messages_url(chat), json=body).status_code == 201
    end_connections(app, server)
    return count_flushes(server) - before


@on_postgresql
def test_each_append_to_postgresql_waits_for_a_flush(
    flushing_postgres: PostgresServer, app: Flask
) -> None:
    assert append_to_postgresql(app, flushing_postgres) >= APPENDS


@on_postgresql
def test_appends_that_do_not_wait_for_postgresql_are_found_out(
    flushing_postgres: PostgresServer, database_url: str
) -> None:
    url = f"{database_url}&options=-c%20synchronous_commit%3Doff"
    careless = create_app(make_settings(url))
    assert append_to_postgresql(careless, flushing_postgres) < APPENDS


@on_postgresql
def test_no_connection_changes_what_makes_postgresql_durable(app: Flask) -> None:
    query = text(
        "SELECT name, setting, source FROM pg_settings"
        " WHERE name IN ('full_page_writes', 'synchronous_commit') ORDER BY name"
    )
    with app.app_context():
        found = [tuple(row) for row in db.session.execute(query)]
    assert found == [
        ("full_page_writes", "on", "default"),
        ("synchronous_commit", "on", "default"),
    ]
