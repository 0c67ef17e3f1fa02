import contextlib
import http.client
import os
import selectors
import signal
import socket

import pytest

from tests.support import (
    API,
    SESSIONS,
    LiveResponse,
    LiveServer,
    session_url,
    wait_until,
)
from tests.support.servers import is_listening, metric

# Within this time only those come whose wait is ended before its time.
SOON = 15
CHANGES = f"{API}/changes"
EMPTY = {(200,)}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server shared by the tests; no test may stop it."""
    with LiveServer(tmp_path_factory.mktemp("server"), workers="2") as started:
        wait_until(lambda: len(started.worker_ids) == 2)
        yield started


def token_of(server):
    return server.request("GET", CHANGES).json["next"]


def waiting_path(server, seconds=30):
    return f"{CHANGES}?since={token_of(server)}&wait={seconds}"


@contextlib.contextmanager
def waiting_clients(server, count, *, seconds=30, version="1.1", more=""):
    """Open connections whose requests all wait; yield them when all do."""
    already = waiting(server)
    request = (
        f"GET {waiting_path(server, seconds)} HTTP/{version}\r\nHost: localhost\r\n"
    )
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(1, count + 1):
            address = ("127.0.0.1", server.port)
            client = stack.enter_context(socket.create_connection(address, timeout=60))
            client.sendall(f"{request}{more}\r\n".encode())
            clients.append(client)
            if number % 20 == 0 or number == count:
                wait_until(lambda so_far=already + number: waiting(server) == so_far)
        yield clients


def waiting(server):
    """Return how many requests wait, as the metrics of the server say."""
    return metric(server, "chatstore_waiting_requests")


def answer_on(client, method="GET"):
    with http.client.HTTPResponse(client, method=method) as response:
        response.begin()
        return LiveResponse(response)


def answers_of(clients):
    """Return the answers of all clients; fail if one of them does not come soon."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(SOON)
            assert ready, f"{len(selector.get_map())} of {len(clients)} not answered"
            for key, _ in ready:
                selector.unregister(key.fileobj)
    return [answer_on(client) for client in clients]


def has_answer(client):
    with contextlib.suppress(ConnectionResetError):
        return client.recv(1, socket.MSG_PEEK) != b""
    return False


def append(server, chat):
    body = {"content": "hi"}
    answer = server.request("POST", f"{session_url(chat)}/messages", body)
    assert answer.status_code == 201


def test_many_wait_and_need_neither_threads_nor_connections(serve, database_url):
    server = serve(
        database_url=database_url, workers="1", threads="1", pool_timeout_seconds="1"
    )
    chat = server.request("POST", SESSIONS, {}).json
    with waiting_clients(server, 200) as clients:
        for _ in range(20):
            assert server.request("GET", session_url(chat)).status_code == 200
        assert waiting(server) == 200
        append(server, chat)
        answers = answers_of(clients)
    assert waiting(server) == 0
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        (change,) = answer.json["changes"]
        assert (change["session_id"], change["last_seq"]) == (chat["id"], 1)
        assert answer.headers["Connection"] == "keep-alive"
    # A token has the time of its page, which was read once for all.
    assert len({answer.json["next"] for answer in answers}) == 1
    later = server.request("GET", f"{CHANGES}?since={answers[0].json['next']}")
    assert later.json["changes"] == []
    assert "Traceback" not in server.log


def test_clients_with_other_tokens_get_pages_of_their_own(serve):
    server = serve(workers="1")
    chat = server.request("POST", SESSIONS, {}).json
    with waiting_clients(server, 2) as first, waiting_clients(server, 2) as second:
        append(server, chat)
        answers = [answers_of(first), answers_of(second)]
    tokens = [{answer.json["next"] for answer in some} for some in answers]
    assert not tokens[0] & tokens[1]
    assert {len(each.json["changes"]) for some in answers for each in some} == {1}


def test_an_append_in_one_process_reaches_those_who_wait_in_all(serve, database_url):
    server = serve(database_url=database_url, workers="2")
    wait_until(lambda: len(server.worker_ids) == 2)
    chat = server.request("POST", SESSIONS, {}).json
    with waiting_clients(server, 60) as clients:
        append(server, chat)
        answers = answers_of(clients)
    assert {len(answer.json["changes"]) for answer in answers} == {1}


def test_a_connection_is_kept_after_a_wait(server):
    chat = server.request("POST", SESSIONS, {}).json
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        for number in range(1, 4):
            connection.request("GET", waiting_path(server))
            wait_until(lambda: waiting(server) == 1)
            append(server, chat)
            (change,) = LiveResponse(connection.getresponse()).json["changes"]
            assert change["last_seq"] == number
            connection.request("GET", session_url(chat))
            answer = LiveResponse(connection.getresponse())
            assert answer.json["message_count"] == number


@pytest.mark.parametrize("seconds", [0, 0.2])
def test_when_the_time_is_over_the_page_is_empty(server, seconds):
    path = waiting_path(server, seconds)
    for _ in range(2):
        answer = server.request("GET", path)
        assert (answer.status_code, answer.json["changes"]) == (200, [])
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json["has_more"] is False


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_connection_is_closed_after_a_wait_if_the_client_wants_it(
    server, version, more
):
    closes = version == "1.0" or bool(more)
    with waiting_clients(server, 1, version=version, more=more) as (client,):
        server.request("POST", SESSIONS, {})
        answer = answer_on(client)
        assert len(answer.json["changes"]) == 1
        assert answer.headers["Connection"] == ("close" if closes else "keep-alive")
        if closes:
            assert client.recv(1) == b""


def test_a_request_with_a_body_waits_too(server):
    with waiting_clients(server, 1, more="Content-Length: 2\r\n") as clients:
        clients[0].sendall(b"{}")
        server.request("POST", SESSIONS, {})
        (answer,) = answers_of(clients)
        assert len(answer.json["changes"]) == 1


def test_head_waits_as_get_does(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("HEAD", waiting_path(server))
        wait_until(lambda: waiting(server) == 1)
        server.request("POST", SESSIONS, {})
        answer = LiveResponse(connection.getresponse())
    assert (answer.status_code, answer.data) == (200, b"")


def test_who_hangs_up_does_not_wait_any_more(server):
    with waiting_clients(server, 20) as clients:
        for client in clients[:15]:
            client.close()
        wait_until(lambda: waiting(server) == 5, seconds=SOON)
        server.request("POST", SESSIONS, {})
        assert len(answers_of(clients[15:])) == 5
    assert "Traceback" not in server.log


def test_a_client_that_only_sends_no_more_is_answered(server):
    with waiting_clients(server, 1) as clients:
        clients[0].shutdown(socket.SHUT_WR)
        (answer,) = answers_of(clients)
    assert (answer.status_code, answer.json["changes"]) == (200, [])


def test_a_request_that_follows_on_the_connection_is_answered_after_the_wait(server):
    with waiting_clients(server, 1) as (client,):
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert waiting(server) == 1
        server.request("POST", SESSIONS, {})
        received = b""
        while b'"ok"' not in received:
            received += client.recv(4096)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b'"changes":[{') < received.index(b'{"status":"ok"}')


def test_past_the_bound_a_request_is_answered_at_once(serve):
    server = serve(workers="1", max_waiting="2")
    with waiting_clients(server, 2) as clients:
        (third,) = [server.request("GET", waiting_path(server))]
        assert (third.status_code, third.json["changes"]) == (200, [])
        assert waiting(server) == 2
        server.request("POST", SESSIONS, {})
        assert {len(each.json["changes"]) for each in answers_of(clients)} == {1}


def test_a_request_that_waited_is_one_line_of_the_log(server):
    with waiting_clients(server, 1, more="X-Request-Id: woken\r\n") as clients:
        server.request("POST", SESSIONS, {})
        assert answers_of(clients)[0].headers["X-Request-Id"] == "woken"
    headers = {"X-Request-Id": "over"}
    server.request("GET", waiting_path(server, 0.3), headers=headers)
    wait_until(lambda: '"over"' in server.log and '"woken"' in server.log)
    lines = [
        line
        for line in server.log_lines()
        if line.get("request_id") in ("woken", "over")
    ]
    assert [line["request_id"] for line in lines] == ["woken", "over"]
    assert {(line["route"], line["status"]) for line in lines} == {(CHANGES, 200)}
    assert lines[1]["milliseconds"] >= 300


def test_without_the_database_who_waits_gets_the_empty_page_at_its_time(
    postgres, postgres_template, serve
):
    name = postgres.create_database(postgres_template)
    server = serve(database_url=postgres.url(name), workers="1")
    with waiting_clients(server, 3, seconds=2) as clients:
        postgres.drop_database(name)
        answers = answers_of(clients)
    assert {(each.status_code, *each.json["changes"]) for each in answers} == EMPTY
    assert server.log.count("cannot read changes for waiting requests") == 1


# Processes that stop


def test_sigterm_answers_those_who_wait_and_ends_soon(serve):
    server = serve(workers="2")
    with waiting_clients(server, 100) as clients:
        server.process.terminate()
        answers = answers_of(clients)
    assert {(each.status_code, *each.json["changes"]) for each in answers} == EMPTY
    assert {each.headers["Connection"] for each in answers} == {"close"}
    assert server.process.wait(timeout=SOON) == 0
    assert "Traceback" not in server.log


def test_sighup_answers_those_who_wait_and_the_new_processes_let_wait(serve):
    server = serve(workers="1")
    former = server.worker_ids
    with waiting_clients(server, 20) as clients:
        server.process.send_signal(signal.SIGHUP)
        answers = answers_of(clients)
    assert {(each.status_code, *each.json["changes"]) for each in answers} == EMPTY
    wait_until(lambda: not former & server.worker_ids)
    with waiting_clients(server, 20) as clients:
        server.request("POST", SESSIONS, {})
        assert {len(each.json["changes"]) for each in answers_of(clients)} == {1}


def test_a_killed_process_cuts_off_only_those_who_wait_there(serve):
    server = serve(workers="2")
    wait_until(lambda: len(server.worker_ids) == 2)
    with waiting_clients(server, 60) as clients:
        former = server.worker_ids
        killed = min(former)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(server.worker_ids - {killed}) == 2)
        # The live gauge of a killed process is removed when the master notices.
        wait_until(lambda: waiting(server) < 60)
        left = waiting(server)
        server.request("POST", SESSIONS, {})
        whole = [client for client in clients if has_answer(client)]
        assert len(whole) == left
        assert all(len(each.json["changes"]) == 1 for each in answers_of(whole))
    with waiting_clients(server, 60) as clients:
        server.request("POST", SESSIONS, {})
        assert {len(each.json["changes"]) for each in answers_of(clients)} == {1}


def test_a_worker_of_a_killed_master_answers_those_who_wait(
    serve, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a killed master leaves files
    server = serve(workers="1")
    with waiting_clients(server, 5) as clients:
        server.process.kill()
        server.process.wait()
        answers = answers_of(clients)
    assert {(each.status_code, *each.json["changes"]) for each in answers} == EMPTY
    wait_until(lambda: not is_listening(server.port))
