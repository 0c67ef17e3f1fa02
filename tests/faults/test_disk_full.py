import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from chatstore.app import create_app
from chatstore.db import db
from chatstore.store.verify import checks
from tests.support import (
    SESSIONS,
    PostgresServer,
    assert_problem,
    make_settings,
    messages_url,
    need,
    session_url,
)

ROOM_BYTES = 1024 * 1024
BALLAST_BYTES = 512 * 1024
MOST_APPENDS = 1000


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 24 MB."""
    need("root, to mount a small file system", os.geteuid() == 0)
    # PostgreSQL's own user cannot enter pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="chatstore-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "chatstore-test", str(folder)]
    need("permission to mount", subprocess.run(mount).returncode == 0)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture
def small_database_url(
    database_kind: str, small_disk: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    if database_kind == "sqlite":
        path = small_disk / "chatstore.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    template = request.getfixturevalue("postgres_template")
    # PostgreSQL stops if it cannot write its WAL, so fill only a tablespace.
    folder = small_disk / "tablespace"
    folder.mkdir()
    owner = server.server.pgdata.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    name = f"small_{uuid4().hex}"
    server.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
    server.execute(
        f"CREATE DATABASE {name} TEMPLATE {template} TABLESPACE {name}"
        " STRATEGY FILE_COPY"
    )
    yield server.url(name)
    server.drop_database(name)
    server.execute(f"DROP TABLESPACE {name}")


@pytest.fixture
def small_app(small_database_url: str, small_disk: Path) -> Iterator[Flask]:
    """An application with little disk space left; deleting `ballast` frees some."""
    app = create_app(make_settings(small_database_url))
    free = shutil.disk_usage(small_disk).free
    (small_disk / "others").write_bytes(bytes(free - ROOM_BYTES - BALLAST_BYTES))
    (small_disk / "ballast").write_bytes(bytes(BALLAST_BYTES))
    yield app
    with app.app_context():
        db.engine.dispose()


def violations(app: Flask) -> list[str]:
    with app.app_context():
        return [line for check in checks.CHECKS for line in check.find()]


def random_text() -> str:
    return os.urandom(10_000).hex()  # incompressible


def append_until_full(client: Any, chat: Any) -> int:
    """Append until a refusal, which must come; return the number acknowledged."""
    for number in range(MOST_APPENDS):
        response = client.post(messages_url(chat), json={"content": random_text()})
        if response.status_code != 201:
            problem = assert_problem(response, 503, detail="disk is full")
            assert problem["type"].endswith(":database-full")
            return number
    raise AssertionError("the disk was never full")


def test_a_full_disk_refuses_appends_and_nothing_else(
    small_app: Flask, small_disk: Path
) -> None:
    client = small_app.test_client()
    chat = client.post(SESSIONS, json={}).json
    stored = append_until_full(client, chat)
    once = {"Idempotency-Key": "when the disk was full"}
    body = {"content": random_text()}
    assert_problem(client.post(messages_url(chat), json=body, headers=once), 503)

    listed = client.get(messages_url(chat))
    assert [each["seq"] for each in listed.json["messages"]] == [*range(1, stored + 1)]
    assert client.get(session_url(chat)).json["message_count"] == stored
    assert client.get("/readyz").status_code == 200
    assert violations(small_app) == []

    (small_disk / "ballast").unlink()
    response = client.post(messages_url(chat), json=body, headers=once)
    assert (response.status_code, response.json["seq"]) == (201, stored + 1)
    assert "Idempotency-Replayed" not in response.headers
    assert violations(small_app) == []


def test_a_batch_of_which_half_fits_leaves_nothing(
    small_app: Flask, small_disk: Path
) -> None:
    client = small_app.test_client()
    chat = client.post(SESSIONS, json={}).json
    stored = append_until_full(client, chat)
    url, turns = messages_url(chat), [{"content": random_text()} for _ in range(10)]
    os.truncate(small_disk / "ballast", BALLAST_BYTES - 100 * 1024)
    batch = client.post(f"{url}/batch", json={"messages": turns})
    assert_problem(batch, 503, detail="disk is full")
    assert client.get(session_url(chat)).json["message_count"] == stored
    assert violations(small_app) == []

    (small_disk / "ballast").unlink()
    batch = client.post(f"{url}/batch", json={"messages": turns})
    assert batch.status_code == 201
    assert batch.json["messages"][0]["seq"] == stored + 1
