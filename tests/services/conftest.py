"""Fixtures of tests that copy whole databases."""

import os
from collections.abc import Iterator

import pytest
from flask import Flask

from chatstore.app import create_app
from chatstore.db import db
from tests.support import make_settings


@pytest.fixture(autouse=True)
def client_programs(
    database_kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put PostgreSQL's client programs on PATH if the test runs on PostgreSQL."""
    if database_kind == "postgresql":
        programs = request.getfixturevalue("postgres").server.bin_path
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


@pytest.fixture
def other_app(empty_database_url: str) -> Iterator[Flask]:
    """An application on a second database, without tables."""
    app = create_app(make_settings(empty_database_url))
    yield app
    with app.app_context():
        db.engine.dispose()
