import json
import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chatstore.app import create_app
from tests.support import API, MISSING_ID, SESSIONS, messages_url, session_url
from tests.support.breakage import refuse_tools, taken_away

SECRET = "the message's own words"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"


@pytest.fixture
def client(capfd, make_app):
    """A factory of clients; created in the test, so that capfd captures the log."""

    def make(**settings):
        client = make_app(**settings).test_client()
        capfd.readouterr()
        return client

    return make


@pytest.fixture
def lines(capfd):
    """A function that returns the JSON lines logged since its last call."""

    def lines():
        logged = capfd.readouterr().err.splitlines()
        return [json.loads(line) for line in logged if line.startswith("{")]

    return lines


def send(client, method, url, **request):
    """Send a request and read the whole response, as a server does."""
    return client.open(url, method=method, buffered=True, **request)


def samples(client):
    """Return the current metrics: (name, labels) to value."""
    text = send(client, "GET", "/metrics").text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def rises(before, after, name, **labels):
    key = (name, *sorted(labels.items()))
    return after.get(key, 0) - before.get(key, 0)


# The log


def test_a_request_is_one_line(client, lines):
    alice = client()
    response = send(alice, "POST", SESSIONS, json={"name": "x"})
    (line,) = lines()
    milliseconds, timestamp = line.pop("milliseconds"), line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "chatstore.web.observe",
        "request_id": response.headers["X-Request-Id"],
        "method": "POST",
        "route": "/api/v1/sessions",
        "status": 201,
        "owner": "local",
    }
    assert 0 < milliseconds < 60_000
    assert re.fullmatch(TIME, timestamp)


@pytest.mark.parametrize(
    ("method", "url", "route", "status", "owner"),
    [
        ("GET", f"{SESSIONS}?limit=1", "/api/v1/sessions", 200, "local"),
        (
            "GET",
            f"{SESSIONS}{MISSING_ID}",
            "/api/v1/sessions/<uuid:session_id>",
            404,
            "local",
        ),
        (
            "GET",
            f"{SESSIONS}{MISSING_ID}/messages/7/",
            "/api/v1/sessions/<uuid:session_id>/messages/<int:message_id>",
            404,
            "local",
        ),
        ("POST", SESSIONS, "/api/v1/sessions", 415, "local"),
        ("PUT", SESSIONS, "unmatched", 405, None),
        ("GET", f"{API}/nope", "unmatched", 404, None),
        ("GET", "/healthz", "/healthz", 200, None),
        ("GET", "/", "/", 200, None),
        ("NONSENSE", "/healthz", "unmatched", 405, None),
    ],
)
def test_a_line_names_the_route_not_the_path(
    client, lines, method, url, route, status, owner
):
    send(client(), method, url)
    (line,) = lines()
    assert (line["route"], line["status"], line["owner"]) == (route, status, owner)
    assert line["method"] == (method if method != "NONSENSE" else "OTHER")


def test_a_streamed_answer_is_logged_at_its_end(client, lines, make_session):
    alice = client()
    response = alice.get(messages_url(make_session(messages=1)))
    lines()
    assert response.json["messages"]
    response.close()
    (line,) = lines()
    assert (line["status"], line["method"]) == (200, "GET")


def test_an_unforeseen_error_is_logged_once_with_its_trace(client, lines, make_session):
    alice = client()
    chat = make_session()
    refuse_tools(alice.application)
    lines()
    body = {"content": SECRET, "role": "tool"}
    response = send(alice, "POST", messages_url(chat), json=body)
    error, access = lines()
    assert response.status_code == 500
    assert (error["event"], error["level"]) == ("unexpected error", "error")
    assert "append_message" in error["exception"]
    assert "IntegrityError" in error["exception"]
    assert error["request_id"] == access["request_id"] == response.json["request_id"]
    assert access["status"] == 500


def test_an_absent_database_is_logged_with_its_cause(
    client, lines, make_session, request
):
    alice = client()
    chat = make_session()
    with taken_away(alice.application, request):
        lines()
        body = {"content": SECRET}
        response = send(alice, "POST", messages_url(chat), json=body)
    warning, access = lines()
    assert response.status_code == 503
    assert (warning["event"], warning["level"]) == ("database unavailable", "warning")
    assert len(warning["cause"]) > 10
    assert warning["request_id"] == access["request_id"] == response.json["request_id"]


@pytest.mark.parametrize(
    "body",
    [
        {"content": SECRET},
        {"content": SECRET, "role": SECRET},
        {"content": SECRET, "metadata": {SECRET: SECRET}},
        {"content": [SECRET]},
        {"content": "x", SECRET: 1},
        {"content": SECRET, "metadata": {"a": "\0"}},
        {"content": SECRET, "role": "tool"},
    ],
)
def test_no_text_of_a_message_is_logged(client, capfd, make_session, body):
    alice = client(log_level="debug")
    chat = make_session()
    refuse_tools(alice.application)
    send(alice, "POST", messages_url(chat), json=body)
    send(alice, "POST", messages_url(chat), data=f'{{"content": "{SECRET}"')
    send(alice, "GET", messages_url(chat))
    send(alice, "PATCH", session_url(chat), json={"name": SECRET, "nope": SECRET})
    logged = "".join(capfd.readouterr())
    assert logged.count('"event": "request"') == 4
    assert SECRET not in logged


def test_no_text_of_a_message_is_logged_without_a_database(
    client, capfd, make_session, request
):
    alice = client()
    chat = make_session()
    with taken_away(alice.application, request):
        send(alice, "POST", messages_url(chat), json={"content": SECRET})
    logged = "".join(capfd.readouterr())
    assert '"status": 503' in logged
    assert SECRET not in logged


def test_no_text_of_a_url_is_logged(client, capfd):
    alice = client()
    send(alice, "GET", f"{SESSIONS}?cursor=hunter2&hunter2=1")
    send(alice, "GET", "/hunter2", headers={"X-Request-Id": "hunter2 "})
    logged = "".join(capfd.readouterr())
    assert logged.count('"event": "request"') == 2
    assert "hunter2" not in logged


def test_console_lines_are_for_people(client, capfd):
    settings = replace(client().application.config["CHATSTORE"], log_format="console")
    response = send(create_app(settings).test_client(), "GET", "/healthz")
    (line,) = capfd.readouterr().err.splitlines()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    assert not plain.startswith("{")
    assert re.search(r"\[info +\] request ", plain)
    assert f"request_id={response.headers['X-Request-Id']}" in plain
    for part in ("method=GET", "route=/healthz", "status=200", "owner=None"):
        assert part in plain


def test_lines_below_the_level_are_left_out(client, capfd):
    alice = client(log_level="warning")
    send(alice, "GET", "/healthz")
    assert capfd.readouterr().err == ""


# Request ids and headers


@pytest.mark.parametrize("given", ["a", "A-Z_0.9", "0f0e5b6d", "x" * 64])
def test_a_sane_request_id_is_taken_over(client, lines, given):
    alice = client()
    response = send(alice, "GET", "/nope", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == given
    assert response.json["request_id"] == given
    assert [line["request_id"] for line in lines()] == [given]


@pytest.mark.parametrize(
    "given", ["", " ", "x" * 65, "a b", "a,b", 'a"b', "<a>", "é", "a;b", "a/b", "{a}"]
)
def test_any_other_request_id_is_replaced(client, lines, given):
    alice = client()
    headers = {"X-Request-Id": given.encode().decode("latin-1")}
    response = send(alice, "GET", "/healthz", headers=headers)
    replaced = response.headers["X-Request-Id"]
    assert re.fullmatch("[0-9a-f]{32}", replaced)
    assert [line["request_id"] for line in lines()] == [replaced]


def test_each_request_has_an_id_of_its_own(client):
    alice = client()
    ids = {send(alice, "GET", "/healthz").headers["X-Request-Id"] for _ in range(20)}
    assert len(ids) == 20


def test_an_answer_about_somebodys_data_is_kept_by_nobody_else(client):
    response = send(client(), "GET", SESSIONS)
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    policy = response.headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'none'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


# Metrics


def test_requests_are_counted_by_route_and_status(client):
    alice = client()
    before = samples(alice)
    for _ in range(3):
        send(alice, "GET", SESSIONS)
    send(alice, "GET", f"{SESSIONS}?limit=0")
    send(alice, "GET", f"{API}/nope")
    after = samples(alice)
    route = {"method": "GET", "route": "/api/v1/sessions"}
    name = "chatstore_http_requests_total"
    assert rises(before, after, name, **route, status="200") == 3
    assert rises(before, after, name, **route, status="422") == 1
    assert (
        rises(before, after, name, method="GET", route="unmatched", status="404") == 1
    )


def test_time_is_measured_by_route(client):
    alice = client()
    before = samples(alice)
    send(alice, "GET", "/healthz")
    send(alice, "GET", "/healthz/")
    after = samples(alice)
    name = "chatstore_http_request_duration_seconds"
    route = {"method": "GET", "route": "/healthz"}
    assert rises(before, after, f"{name}_count", **route) == 2
    assert rises(before, after, f"{name}_bucket", **route, le="+Inf") == 2
    assert 0 < rises(before, after, f"{name}_sum", **route) < 60


def test_made_up_paths_and_methods_make_no_metrics(client):
    alice = client()
    send(alice, "GET", "/nope")
    send(alice, "MADEUP", SESSIONS)
    before = samples(alice)
    for number in range(5):
        send(alice, "GET", f"/nope/{number}")
        send(alice, f"MADEUP{number}", SESSIONS)
        send(alice, "GET", f"{SESSIONS}{MISSING_ID[:-1]}{number}")
    new = set(samples(alice)) - set(before)
    assert {dict(labels)["route"] for _, *labels in new} <= {
        "/metrics",
        "/api/v1/sessions/<uuid:session_id>",
    }


def test_only_stored_messages_are_counted(client, make_session):
    alice = client()
    url = messages_url(make_session())
    refuse_tools(alice.application)
    before = samples(alice)
    for _ in range(2):
        send(alice, "POST", url, json={"content": "x"})
    send(alice, "POST", url, json={"content": 1})
    send(alice, "POST", url, json={"content": "x", "role": "tool"})
    send(alice, "POST", f"{SESSIONS}{MISSING_ID}/messages", json={"content": "x"})
    after = samples(alice)
    assert rises(before, after, "chatstore_messages_appended_total") == 2


def test_database_errors_are_counted(client, request):
    alice = client()
    before = samples(alice)
    with taken_away(alice.application, request):
        assert send(alice, "GET", SESSIONS).status_code == 503
        assert send(alice, "GET", "/readyz").status_code == 503
    after = samples(alice)
    name = "chatstore_database_errors_total"
    assert rises(before, after, name, kind="database-unavailable") == 2
