import shutil
import socket
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import make_url, text

from chatstore.app import create_app
from chatstore.db import db
from tests.support import (
    MISSING_ID,
    SESSIONS,
    assert_problem,
    free_port,
    make_settings,
    messages_url,
    on_postgresql,
    session_url,
)

CHAT = {"id": MISSING_ID}
REQUESTS = [
    ("GET", SESSIONS, None),
    ("POST", SESSIONS, {}),
    ("GET", session_url(CHAT), None),
    ("PATCH", session_url(CHAT), {"name": "x"}),
    ("DELETE", session_url(CHAT), None),
    ("GET", messages_url(CHAT), None),
    ("POST", messages_url(CHAT), {"content": "SECRET"}),
    ("GET", f"{messages_url(CHAT)}/1", None),
    ("GET", "/readyz", None),
]


def dispose(app):
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def make_client():
    """A factory of clients whose application cannot reach its database."""
    with ExitStack() as stack:

        def make(url, **settings):
            app = create_app(make_settings(url, **settings))
            stack.callback(dispose, app)
            return app.test_client()

        yield make


def refused(tmp_path):
    return f"postgresql://chat:hunter2@127.0.0.1:{free_port()}/chat"


def without_socket(tmp_path):
    return f"postgresql://chat:hunter2@/chat?host={tmp_path}"


def without_folder(tmp_path):
    return f"sqlite:///{tmp_path / 'gone' / 'chatstore.db'}"


@pytest.fixture(params=[refused, without_socket, without_folder])
def away(request, tmp_path, make_client):
    client = make_client(request.param(tmp_path), pool_timeout_seconds=2)
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    return client


def assert_away(response):
    problem = assert_problem(response, 503)
    assert problem["type"] == "urn:chatstore:problem:database-unavailable"
    assert "hunter2" not in response.text and "SECRET" not in response.text
    for word in ("psycopg", "sqlite", "sqlalchemy", "127.0.0", "Traceback"):
        assert word not in response.text.lower()


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_without_its_database_every_request_is_503(away, method, path, body):
    assert_away(away.open(path, method=method, json=body))


def test_without_its_database_the_process_is_healthy_and_measured(away):
    assert away.get(SESSIONS).status_code == 503
    assert away.get("/healthz").json == {"status": "ok"}
    metrics = away.get("/metrics").text
    assert 'chatstore_database_errors_total{kind="database-unavailable"}' in metrics


def test_what_is_wrong_with_a_request_is_told_without_the_database(away):
    assert_problem(away.post(SESSIONS, json={"nmae": "x"}), 422, pointer="/nmae")
    assert_problem(away.get(f"{SESSIONS}?limit=0"), 422)


def test_a_database_that_never_answers_is_503(make_client):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://chat@127.0.0.1:{silent.getsockname()[1]}/chat"
        client = make_client(url, pool_timeout_seconds=1)
        assert_away(client.get(SESSIONS))


def test_a_pool_that_is_used_up_is_503(make_app, make_session):
    app = make_app(threads=1, pool_timeout_seconds=1)
    chat = make_session()
    with app.app_context():
        engine = db.engine
    with engine.connect():
        assert_away(app.test_client().get(session_url(chat)))
    assert app.test_client().get(session_url(chat)).status_code == 200


@pytest.fixture
def vanish(database_kind, database_url, tmp_path, request):
    """Make the test's database unreachable while a block runs."""

    @contextmanager
    def in_sqlite():
        hidden = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-hidden"))
        yield
        hidden.rename(tmp_path)

    @contextmanager
    def in_postgresql():
        execute = request.getfixturevalue("postgres").execute
        name = make_url(database_url).database
        execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            f" WHERE datname = '{name}'"
        )
        yield
        execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    return in_sqlite if database_kind == "sqlite" else in_postgresql


@pytest.mark.parametrize("is_connected", [False, True])
def test_a_database_that_comes_back_is_used_again(
    make_app, make_session, vanish, app, is_connected
):
    chat = make_session(messages=1)
    dispose(app)
    client = make_app(threads=1).test_client()
    if is_connected:
        assert client.get(session_url(chat)).status_code == 200
    with vanish():
        assert_away(client.post(messages_url(chat), json={"content": "lost"}))
        if not is_connected:
            assert_away(client.get(session_url(chat)))
    response = client.post(messages_url(chat), json={"content": "kept"})
    assert (response.status_code, response.json["seq"]) == (201, 2)
    assert len(client.get(messages_url(chat)).json["messages"]) == 2


@on_postgresql
def test_a_database_that_can_only_be_read_is_503_to_writers(
    make_client, make_session, database_url
):
    chat = make_session(messages=1)
    read_only = "&options=-cdefault_transaction_read_only%3Don"  # as on a standby
    client = make_client(f"{database_url}{read_only}")
    assert client.get(session_url(chat)).status_code == 200
    assert_away(client.post(messages_url(chat), json={"content": "x"}))


# The database at another revision


def test_a_database_that_was_never_migrated_is_not_ready(
    make_client, empty_database_url
):
    response = make_client(empty_database_url).get("/readyz")
    problem = assert_problem(response, 503, detail="Run: chatstore migrate")
    assert problem["type"] == "urn:chatstore:problem:wrong-revision"


@pytest.mark.parametrize(
    ("revision", "detail"),
    [("0000", "Run: chatstore migrate"), ("9999", "newer than this version")],
)
def test_a_database_at_another_revision_is_not_ready(app, alice, revision, detail):
    assert alice.get("/readyz").json == {"status": "ok"}
    with app.app_context():
        db.session.execute(
            text(f"UPDATE alembic_version SET version_num = '{revision}'")
        )
        db.session.commit()
    assert_problem(alice.get("/readyz"), 503, detail=detail)
    assert alice.get("/healthz").status_code == 200
