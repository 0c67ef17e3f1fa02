import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from chatstore.app import create_app
from chatstore.db import db
from chatstore.models import Message
from chatstore.services.backup.backup import restore_backup, write_backup
from chatstore.store.verify import checks
from tests.support import SESSIONS, LiveServer, make_settings, messages_url

BACKUPS = 3
WRITERS = 4


class Writer(threading.Thread):
    """Appends messages to its own session, one at a time, until `stopped` is set."""

    def __init__(self, server: LiveServer, stopped: threading.Event) -> None:
        super().__init__()
        self.server, self.stopped = server, stopped
        self.chat = server.request("POST", SESSIONS, {}).json
        self.sent: list[str] = []
        self.acknowledged = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            self.sent.append(f"{len(self.sent)} of {self.chat['id']} " + "x" * 500)
            body = {"content": self.sent[-1]}
            answer = self.server.request("POST", messages_url(self.chat), body)
            assert answer.status_code == 201
            self.acknowledged += 1


@contextmanager
def write_load(server: LiveServer, *, already: int) -> Iterator[list[Writer]]:
    """Write while the block runs; it begins after `already` acknowledged messages."""
    stopped = threading.Event()
    writers = [Writer(server, stopped) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        while sum(writer.acknowledged for writer in writers) < already:
            assert all(writer.is_alive() for writer in writers)
            stopped.wait(0.01)
        yield writers
    finally:
        stopped.set()
        for writer in writers:
            writer.join()


def contents_by_session(app: Flask) -> dict[str, list[str]]:
    """Check the promises; return the contents by session, in order of seq."""
    found: dict[str, list[str]] = {}
    with app.app_context():
        assert [line for check in checks.CHECKS for line in check.find()] == []
        for message in db.session.scalars(select(Message).order_by(Message.seq)):
            contents = found.setdefault(str(message.session_id), [])
            contents.append(message.content)
            assert message.seq == len(contents)
        db.session.remove()
        db.engine.dispose()
    return found


def ignore(progress: str) -> None:
    pass


@dataclass
class Taken:
    """A backup, and the acknowledged messages of each writer before and after it."""

    file: Path
    before: list[int]
    after: list[int]


def take_backups(app: Flask, folder: Path, writers: list[Writer]) -> Iterator[Taken]:
    for number in range(BACKUPS):
        file = folder / f"{number}.backup"
        with app.app_context():
            before = [writer.acknowledged for writer in writers]
            write_backup(file, progress=ignore)
            after = [writer.acknowledged for writer in writers]
        yield Taken(file, before, after)


@pytest.fixture
def client_programs(database_kind: str, request: Any, monkeypatch: Any) -> None:
    """Put PostgreSQL's client programs on PATH if the test runs on PostgreSQL."""
    if database_kind == "postgresql":
        programs = request.getfixturevalue("postgres").server.bin_path
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.mark.usefixtures("client_programs")
def test_a_backup_under_load_is_a_prefix_of_what_was_acknowledged(
    serve: Any, app: Flask, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    server = serve(database_url=database_url, workers="2", threads="4")
    with write_load(server, already=200) as writers:
        backups = [*take_backups(app, tmp_path, writers)]
    other = create_app(make_settings(empty_database_url))
    # The writers went on during the backups.
    assert sum(backups[-1].after) > sum(backups[0].before)
    for taken in backups:
        with other.app_context():
            restore_backup(taken.file, is_replacing=True, progress=ignore)
        restored = contents_by_session(other)
        for writer, least, most in zip(writers, taken.before, taken.after, strict=True):
            contents = restored.get(writer.chat["id"], [])
            assert contents == writer.sent[: len(contents)]
            assert least <= len(contents) <= most + 1  # one append may be in flight
