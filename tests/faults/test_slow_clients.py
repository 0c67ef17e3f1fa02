"""Clients that send slowly or never finish are cut off and delay nobody else."""

import contextlib
import http.client
import select
import socket

import pytest

from tests.support import (
    SESSIONS,
    LiveResponse,
    LiveServer,
    assert_problem,
    messages_url,
)

HEAD = f"POST {SESSIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
BODY = b'{"name": "half"}'
BODIES = {
    "none of the body": f"{HEAD}\r\nContent-Length: 16\r\n\r\n".encode(),
    "half of the body": f"{HEAD}\r\nContent-Length: 16\r\n\r\n".encode() + BODY[:8],
    "half of a chunk": f"{HEAD}\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n".encode()
    + BODY[:8],
    "no last chunk": f"{HEAD}\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n".encode()
    + BODY
    + b"\r\n",
}
HEADS = {
    "half of the request line": b"GET /heal",
    "half of the headers": HEAD.encode(),
    "no end of the headers": HEAD.encode() + b"\r\nContent-Length: 16\r\n",
}
CLIENTS = 160


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """A server that waits only one second for a request."""
    folder = tmp_path_factory.mktemp("impatient")
    with LiveServer(folder, workers="1", request_read_seconds="1") as started:
        yield started


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A server that waits ten minutes for a request."""
    folder = tmp_path_factory.mktemp("patient")
    with LiveServer(folder, workers="1", request_read_seconds="600") as started:
        yield started


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def answer_on(client):
    """Read one response; assert that the server then closes the connection."""
    with http.client.HTTPResponse(client) as response:
        response.begin()
        answer = LiveResponse(response)
    assert client.recv(1) == b""
    return answer


def answered(clients, least):
    """Wait until at least `least` clients have a response; return these clients."""
    waiting, gone = set(clients), []
    while len(gone) < least:
        ready = select.select(waiting, [], [], 30)[0]
        assert ready, f"{len(gone)} of {least} answered"
        waiting -= set(ready)
        gone += ready
    return gone


@pytest.mark.parametrize("sent", [*HEADS, *BODIES])
def test_a_request_that_never_comes_whole_is_answered_and_closed(impatient, sent):
    with connect(impatient) as client:
        client.sendall((HEADS | BODIES)[sent])
        answer = answer_on(client)
    assert_problem(answer, 408, detail="CHATSTORE_REQUEST_READ_SECONDS is 1")
    assert answer.headers["Connection"] == "close"
    assert impatient.request("GET", SESSIONS).json["sessions"] == []
    assert "Traceback" not in impatient.log


@pytest.mark.parametrize(
    "start", [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", BODIES[[*BODIES][0]]]
)
def test_a_byte_now_and_then_does_not_prolong_the_time(impatient, start):
    with connect(impatient) as client:
        client.sendall(start)
        client.settimeout(0.1)
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                assert client.recv(13) == b"HTTP/1.1 408 "
                break
            client.send(b" ")
        else:
            pytest.fail("the server still waits")


def test_the_next_request_of_a_connection_has_the_whole_time(impatient):
    connection = http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=30)
    with contextlib.closing(connection):
        for _ in range(3):
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            # An idle connection outlives the time limit of one request.
            assert select.select([connection.sock], [], [], 1.5)[0] == []


def test_what_follows_a_body_that_was_refused_is_not_taken_for_a_request(impatient):
    with connect(impatient) as client:
        head = f"POST {SESSIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/css"
        client.sendall(f"{head}\r\nContent-Length: 99\r\n\r\n".encode())
        with http.client.HTTPResponse(client) as response:
            response.begin()
            assert LiveResponse(response).status_code == 415
        with contextlib.suppress(OSError):
            client.recv(1)  # wait until the server gives up on the body
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1) == b""


@pytest.mark.parametrize("sent", [*HEADS, *BODIES])
def test_many_that_hang_stop_nobody_else(patient, sent):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(patient)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall((HEADS | BODIES)[sent])
        for _ in range(20):
            assert patient.request("GET", "/healthz").status_code == 200
        chat = patient.request("POST", SESSIONS, {"name": "whole"}).json
        stored = patient.request("POST", messages_url(chat), {"content": "x" * 100_000})
        assert stored.status_code == 201
        # A process lets 32 clients wait and cuts off others, never the latest.
        gone = answered(clients, CLIENTS - 32)
        for client in gone:
            assert_problem(answer_on(client), 408, detail="too many clients were slow")
        rest = set(clients).difference(gone)
        late = [stack.enter_context(connect(patient)) for _ in range(16)]
        for client in late:
            client.sendall((HEADS | BODIES)[sent])
        gone = answered([*rest, *late], len(rest) + len(late) - 32)
        assert set(late).isdisjoint(gone)
    assert "Traceback" not in patient.log


def test_connections_on_which_nothing_comes_stop_nobody_else(patient):
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(connect(patient))
        for _ in range(20):
            assert patient.request("GET", "/healthz").status_code == 200


def test_clients_that_do_not_close_stop_nobody_else(patient):
    # Once, the accepting thread waited two seconds for each of these clients.
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(patient)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(ask)
        for client in clients:
            assert answer_on(client).status_code == 200
