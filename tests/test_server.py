"""The server as an administrator sees it: greeting, refusals, signals, metrics."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory

import pytest
from prometheus_client.mmap_dict import MmapedDict
from sqlalchemy import create_engine, text

from chatstore.app import create_app
from chatstore.db import db, run_write
from chatstore.db.revisions import head_revision, known_revisions, migrate
from chatstore.store.sessions import create_session
from tests.support import (
    ROOT,
    SESSIONS,
    LiveServer,
    assert_problem,
    free_port,
    make_settings,
    messages_url,
    on_sqlite,
    session_url,
    wait_until,
)
from tests.support.servers import SERVE, environ_of, is_listening, metric

GUNICORN = [sys.executable, "-m", "gunicorn", "wsgi:app"]
OLD = f"at revision 0000, but chatstore needs {head_revision()}. Run: chatstore migrate"
LINE = {
    "event",
    "level",
    "logger",
    "method",
    "milliseconds",
    "owner",
    "request_id",
    "route",
    "status",
    "timestamp",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server shared by the tests; no test may stop it or fill it."""
    with LiveServer(tmp_path_factory.mktemp("server"), workers="2") as started:
        yield started


def run(command, folder, **values):
    """Run a command that must end by itself."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environ_of(**values),
        capture_output=True,
        text=True,
        timeout=60,
    )


def set_revision(database_url, revision):
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = {revision}"))
    engine.dispose()


def test_the_greeting_says_where_it_is_and_how_to_stop_it(server):
    address = f"http://127.0.0.1:{server.port}"
    assert server.greeting[0].startswith("migrated up to 0001")
    assert server.greeting[-3:] == [
        f"chatstore listens on {address}\n",
        f"API docs:            {address}/docs\n",
        f"Stop it with Ctrl-C, or: kill {server.process.pid}\n",
    ]


def test_an_empty_folder_is_enough_and_the_next_start_migrates_nothing(tmp_path):
    port = free_port()
    greetings = []
    for _ in range(2):
        with LiveServer(tmp_path, SERVE, bind=f"127.0.0.1:{port}") as server:
            assert server.request("GET", "/readyz").json == {"status": "ok"}
            greetings.append(server.greeting)
    assert greetings[0][0].startswith("migrated up to 0001")
    assert greetings[1][0].startswith("chatstore listens on")
    assert (tmp_path / "instance" / "chatstore.db").stat().st_size > 0


def migrate_up_to(database_url, revision):
    app = create_app(make_settings(database_url))
    with app.app_context():
        migrate(revision)
        db.session.remove()
        db.engine.dispose()


def test_servers_that_start_at_once_go_on_with_a_broken_off_migration(
    tmp_path, empty_database_url
):
    migrate_up_to(empty_database_url, "0003")
    binds = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    values = {"database_url": empty_database_url, "secret_key": "s", "workers": "1"}

    def greet(bind):
        folder = tmp_path / bind
        folder.mkdir()
        with LiveServer(folder, SERVE, bind=bind, **values) as server:
            return server.greeting

    with ThreadPoolExecutor() as pool:
        greetings = list(pool.map(greet, binds))
    steps = [line for greeting in greetings for line in greeting if "up to" in line]
    later = sorted(each for each in known_revisions() if each > "0003")
    assert [step.split()[3] for step in steps] == [f"{each}:" for each in later]
    for greeting, bind in zip(greetings, binds, strict=True):
        assert f"chatstore listens on http://{bind}\n" in greeting


def test_serve_refuses_an_older_revision_that_has_sessions(tmp_path, database_url):
    app = create_app(make_settings(database_url))
    with app.app_context():
        run_write(
            create_session, owner_id="alice", name=None, llm_model_name="test-model"
        )
        db.engine.dispose()
    set_revision(database_url, "'0001'")
    refusal = run(SERVE, tmp_path, database_url=database_url, bind="127.0.0.1:1")
    assert refusal.returncode == 1
    assert refusal.stderr == f"Error: The database is {OLD.replace('0000', '0001')}\n"


def test_serve_refuses_a_wrong_revision(tmp_path, database_url):
    set_revision(database_url, "'0000'")
    bind = f"127.0.0.1:{free_port()}"
    refusal = run(SERVE, tmp_path, database_url=database_url, bind=bind)
    assert refusal.returncode == 1
    assert refusal.stderr == f"Error: The database is {OLD}\n"
    assert refusal.stdout == ""


@on_sqlite
def test_gunicorn_in_a_checkout_refuses_a_wrong_revision(database_url):
    set_revision(database_url, "'0000'")
    refusal = run(
        GUNICORN,
        ROOT,
        database_url=database_url,
        bind=f"127.0.0.1:{free_port()}",
        secret_key="a secret of the tests",
    )
    assert refusal.returncode != 0
    assert OLD in refusal.stderr
    assert "listens on" not in refusal.stdout


def test_gunicorn_in_a_checkout_has_our_settings():
    shown = run(
        [*GUNICORN, "--print-config"],
        ROOT,
        bind="127.0.0.1:1234",
        threads="3",
        max_streams="4",
        secret_key="a secret of the tests",
        database_url="postgresql://nobody@127.0.0.1:1/none",
    )
    config = dict(
        map(str.strip, line.split("=", 1))
        for line in shown.stdout.splitlines()
        if "=" in line
    )
    assert config["bind"] == "['127.0.0.1:1234']"
    assert (config["worker_class"], config["threads"]) == ("gthread", "7")
    assert config["control_socket_disable"] == "True"


def test_a_port_in_use_is_said_and_ends_the_start(server, tmp_path):
    refusal = run(SERVE, tmp_path, bind=f"127.0.0.1:{server.port}")
    assert refusal.returncode == 1
    assert f"Connection in use: ('127.0.0.1', {server.port})" in refusal.stderr
    assert "Traceback" not in refusal.stderr
    assert "listens on" not in refusal.stdout
    assert server.request("GET", "/healthz").status_code == 200


def test_a_unix_socket_works_as_an_address(tmp_path):
    with TemporaryDirectory() as short:  # a socket's path has at most 107 bytes
        path = f"{short}/chatstore.sock"
        with LiveServer(tmp_path, bind=f"unix:{path}") as server:
            assert server.greeting[-3] == f"chatstore listens on unix:{path}\n"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b'{"status":"ok"}')


def test_a_postgres_url_works_as_people_paste_it(postgres, serve):
    name = postgres.create_database()
    assert postgres.url(name).startswith("postgresql://")  # as in other tests
    server = serve(
        database_url=postgres.url(name).replace("postgresql://", "postgres://")
    )
    chat = server.request("POST", SESSIONS, {"name": "pasted"}).json
    assert server.request("GET", session_url(chat)).json["name"] == "pasted"
    server.stop()
    postgres.drop_database(name)


def test_metrics_are_exact_across_workers(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = serve(workers="2")
    chat = server.request("POST", SESSIONS, {}).json
    sent = 0
    with ThreadPoolExecutor(8) as pool:
        while len(busy_workers(tmp_path)) < 2:
            append = [("POST", messages_url(chat), {"content": "hi"})] * 16
            refuse = [("POST", messages_url(chat), {"content": 1})] * 16
            list(pool.map(lambda call: server.request(*call), append + refuse))
            sent += 16
    route = "/api/v1/sessions/<uuid:session_id>/messages"
    labels = {"method": "POST", "route": route}
    total, seconds = "chatstore_http_requests_total", "chatstore_http_request_duration"
    wait_until(lambda: metric(server, total, status="201", **labels) == sent)
    wait_until(lambda: metric(server, total, status="422", **labels) == sent)
    wait_until(lambda: metric(server, f"{seconds}_seconds_count", **labels) == 2 * sent)
    everything = dict(labels, le="+Inf")
    wait_until(
        lambda: metric(server, f"{seconds}_seconds_bucket", **everything) == 2 * sent
    )
    assert metric(server, "chatstore_messages_appended_total") == sent


def busy_workers(folder):
    """Return the metric files of the workers that counted an append."""
    return [
        path
        for path in folder.glob("chatstore-metrics-*/counter_*.db")
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(path))
        if "chatstore_messages_appended" in key and value > 0
    ]


def test_errors_of_the_database_are_counted(postgres, postgres_template, serve):
    name = postgres.create_database(postgres_template)
    server = serve(database_url=postgres.url(name))
    assert server.request("GET", SESSIONS).status_code == 200
    postgres.drop_database(name)
    for _ in range(3):
        assert_problem(server.request("GET", SESSIONS), 503)
    wait_until(lambda: metric(server, "chatstore_database_errors_total") == 3)
    warnings = [line for line in server.log_lines() if line["level"] == "warning"]
    assert name in warnings[-1]["cause"]
    assert "Traceback" not in server.log


def test_each_request_is_one_line_of_json(server):
    calls = [
        ("POST", SESSIONS, SESSIONS.rstrip("/"), 201),
        ("GET", SESSIONS, SESSIONS.rstrip("/"), 200),
        ("HEAD", SESSIONS, SESSIONS.rstrip("/"), 200),
        ("GET", "/healthz", "/healthz", 200),
        ("GET", "/nowhere", "unmatched", 404),
        ("GET", "/docs/assets/swagger-ui.css", "/docs/assets/<path:name>", 200),
        ("GET", "/static/docs.js", "/static/<path:filename>", 200),
    ]
    answers = [
        server.request(method, path, {} if method == "POST" else None)
        for method, path, _, _ in calls
    ]
    wanted = {answer.headers["X-Request-Id"] for answer in answers}

    def lines():
        return [line for line in server.log_lines() if line.get("request_id") in wanted]

    wait_until(lambda: len(lines()) == len(calls))
    by_id = {line["request_id"]: line for line in lines()}
    for answer, (method, _, route, status) in zip(answers, calls, strict=True):
        line = by_id[answer.headers["X-Request-Id"]]
        assert set(line) == LINE
        assert (line["event"], line["level"]) == ("request", "info")
        assert (line["method"], line["route"]) == (method, route)
        assert line["status"] == answer.status_code == status
        assert 0 <= line["milliseconds"] < 60_000
        assert line["owner"] == ("local" if "sessions" in route else None)


def test_no_text_of_anybody_reaches_the_log(server):
    secret = "dear diary"
    chat = server.request("POST", SESSIONS, {"name": secret}).json
    for body in (
        {"content": secret},
        {"content": secret, "role": secret},
        {"content": secret, secret: 1},
        {"content": [secret]},
        f'{{"content": "{secret}'.encode(),
    ):
        headers = {"Content-Type": "application/json"}
        answer = server.request("POST", messages_url(chat), body, headers)
    last = answer.headers["X-Request-Id"]
    wait_until(lambda: last in server.log)
    assert secret not in server.log


def test_a_line_outside_a_request_has_no_request_id(serve):
    server = serve(workers="1", threads="1")
    earlier = server.request("GET", "/healthz").headers["X-Request-Id"]
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: "Invalid request" in server.log)
    (line,) = [each for each in server.log_lines() if "Invalid" in each["event"]]
    assert line.get("request_id") != earlier


def test_sigterm_lets_a_request_finish_and_leaves_nothing(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = serve(workers="1")
    chat = server.request("POST", SESSIONS, {}).json
    assert list(tmp_path.glob("chatstore-metrics-*"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(
            f"POST {messages_url(chat)} HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json\r\nContent-Length: 16\r\n"
            "Connection: close\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        answer = client.makefile("rb")
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        server.process.terminate()
        wait_until(lambda: "Handling signal: term" in server.log)
        client.sendall(b'{"content":"hi"}')
        assert b"HTTP/1.1 201 CREATED\r\n" in answer.read()
    assert server.process.wait(timeout=30) == 0
    assert "Traceback" not in server.log
    assert not list(tmp_path.glob("chatstore-metrics-*"))


def test_a_worker_of_a_killed_master_lets_go_of_busy_clients_and_of_the_port(
    serve, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a killed master leaves files
    server = serve(workers="1")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        kept = []
        for _ in range(2):
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            kept.append((answer.read(), answer.headers["Connection"]))
            server.process.kill()
            server.process.wait()
    ok = b'{"status":"ok"}'
    assert kept == [(ok, "keep-alive"), (ok, "close")]
    wait_until(lambda: not is_listening(server.port))


def test_sighup_changes_the_workers_and_serves_on(serve):
    server = serve(workers="2")
    chat = server.request("POST", SESSIONS, {}).json
    sent = 1
    server.process.send_signal(signal.SIGHUP)

    def append_until_replaced():
        nonlocal sent
        answer = server.request("POST", messages_url(chat), {"content": "hi"})
        assert (answer.status_code, answer.json["seq"]) == (201, sent)
        sent += 1
        return server.log.count("Worker exiting") == 2

    wait_until(append_until_replaced)
    assert server.log.count("Booting worker") == 4
    assert server.log.count("Worker exiting") == 2
    assert server.request("GET", session_url(chat)).json["message_count"] == sent - 1
    # The counts of the former workers are kept.
    wait_until(lambda: metric(server, "chatstore_messages_appended_total") == sent - 1)


def test_a_long_listing_is_streamed_and_a_short_one_is_not(server):
    chat = server.request("POST", SESSIONS, {}).json
    contents = [str(number) * 300_000 for number in range(5)]
    for content in contents:
        server.request("POST", messages_url(chat), {"content": content})
    long = server.request("GET", messages_url(chat))
    assert long.headers["Transfer-Encoding"] == "chunked"
    assert [message["content"] for message in long.json["messages"]] == contents
    short = server.request("GET", f"{messages_url(chat)}?limit=1")
    assert "Transfer-Encoding" not in short.headers
    assert int(short.headers["Content-Length"]) == len(short.data)


@pytest.mark.parametrize("path", [SESSIONS, "/healthz", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body_on_a_kept_connection(server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("HEAD", path)
        head = connection.getresponse()
        assert head.read() == b""
        connection.request("GET", path)
        get = connection.getresponse()
        assert head.headers["Content-Length"] == str(len(get.read()))
    assert (head.status, get.status) == (200, 200)
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        (SESSIONS, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("/docs", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_options_says_what_is_allowed(server, path, methods):
    answer = server.request("OPTIONS", path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert set(answer.headers["Allow"].split(", ")) == methods


# A worker is replaced while the code and the schema differ


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [("0000", "Run: chatstore migrate"), ("9999", "newer than this version")],
)
def test_a_replaced_worker_waits_for_the_revision(
    serve, database_url, revision, sentence
):
    server = serve(database_url=database_url, workers="2")
    # One worker has greeted and serves; the other may still be starting.
    kept, killed = sorted(server.worker_ids)
    set_revision(database_url, f"'{revision}'")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: sentence in server.log)
    assert server.process.poll() is None
    assert kept in server.worker_ids
    for _ in range(20):
        assert server.request("GET", SESSIONS).status_code == 200
    set_revision(database_url, f"'{head_revision()}'")
    (replaced,) = server.worker_ids - {kept}
    os.kill(kept, signal.SIGKILL)
    wait_until(lambda: kept not in server.worker_ids)
    assert server.request("POST", SESSIONS, {"name": "x"}).status_code == 201
    assert replaced in server.worker_ids
    waits = [line for line in server.log_lines() if line["event"] == "worker waits"]
    assert len(waits) == 1


def test_a_replaced_worker_cuts_off_slow_clients(serve):
    # A replaced worker reloads the application, which defines new classes.
    server = serve(workers="1", request_read_seconds="1")
    (killed,) = server.worker_ids
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in server.worker_ids)
    head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 16"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"POST {SESSIONS} HTTP/1.1\r\n{head}\r\n\r\n{{".encode())
        assert client.recv(13) == b"HTTP/1.1 408 "


@on_sqlite
def test_a_server_with_a_worker_that_waits_can_be_stopped(serve, database_url):
    server = serve(database_url=database_url, workers="1")
    set_revision(database_url, "'0000'")
    for worker in server.worker_ids:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: "Run: chatstore migrate" in server.log)
    server.process.terminate()
    assert server.process.wait(timeout=10) == 0
