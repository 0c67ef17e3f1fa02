"""Fixtures for tests of the programs before and around the application."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nginx import ECHO, Nginx, open_folder, start_gunicorn


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as path:
        yield path


@pytest.fixture(scope="package")
def site(sqlite_template: Path) -> Iterator[Nginx]:
    """nginx in front of gunicorn with the application of `echo.py`, for all tests."""
    with open_folder() as folder:
        shutil.copy(sqlite_template, folder / "chatstore.db")
        url = f"sqlite:///{folder}/chatstore.db"
        settings = {"database_url": url, "workers": "1"}
        with (
            start_gunicorn(folder, application=ECHO, **settings),
            Nginx(folder) as nginx,
        ):
            yield nginx
