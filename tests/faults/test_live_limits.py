"""Bodies over the limit, sent to a real server, because the server handles framing."""

import contextlib
import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import (
    JSON,
    SESSIONS,
    LiveResponse,
    LiveServer,
    assert_problem,
    messages_url,
)

LIMIT = 10_000
FRAMINGS = ["Content-Length", "chunked"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    with LiveServer(folder, workers="2", max_body_bytes=str(LIMIT)) as started:
        yield started


@pytest.fixture
def messages(server):
    return messages_url(server.request("POST", SESSIONS, {}).json)


def body_of(size):
    """Return a valid body of `size` bytes."""
    start, end = b'{"content":"', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


def send(server, path, body, framing):
    """Send a body, or as much as the server accepts; return the response."""
    parts = [body[start : start + 4096] for start in range(0, len(body), 4096)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    sent = body if framing == "Content-Length" else iter(parts)
    # The server stops reading once it has answered.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", path, sent, JSON)
    with connection.getresponse() as response:
        answer = LiveResponse(response)
    connection.close()
    return answer


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_body_of_the_limit_is_taken(server, messages, framing):
    answer = send(server, messages, body_of(LIMIT), framing)
    assert answer.status_code == 201
    assert len(answer.json["content"]) > LIMIT - 100


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT, 1_000_000, 30_000_000])
def test_a_body_over_the_limit_is_refused(server, messages, size, framing):
    answer = send(server, messages, body_of(size), framing)
    assert_problem(answer, 413, detail=f"{LIMIT} bytes.*CHATSTORE_MAX_BODY_BYTES")
    assert server.request("GET", messages).json["messages"] == []


@pytest.mark.parametrize("framing", FRAMINGS)
def test_blanks_count_towards_the_limit(server, messages, framing):
    answer = send(server, messages, b'{"content":"hi"}' + b" " * LIMIT, framing)
    assert_problem(answer, 413)
    assert server.request("GET", messages).json["messages"] == []


@pytest.mark.parametrize("framing", FRAMINGS)
def test_many_bodies_over_the_limit_stop_nobody_else(server, messages, framing):
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(
            lambda size: send(server, messages, body_of(size), framing), [200_000] * 32
        )
        assert [answer.status_code for answer in answers] == [413] * 32
    assert send(server, messages, body_of(100), framing).status_code == 201
    assert "Traceback" not in server.log


def test_a_chunked_body_within_the_limit_is_read_whole(server, messages):
    body = json.dumps({"content": "é" * 1000}).encode()
    parts = [body[start : start + 1] for start in range(len(body))]
    answer = server.request("POST", messages, iter(parts), JSON)
    assert (answer.status_code, answer.json["content"]) == (201, "é" * 1000)


def answer_to(server, head, body=b""):
    """Send a POST with exactly these lines and bytes; return the response."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        lines = [*head, "Host: localhost", "Content-Type: application/json", "", ""]
        client.sendall("\r\n".join(lines).encode() + body)
        client.shutdown(socket.SHUT_WR)
        with http.client.HTTPResponse(client) as response:
            response.begin()
            return LiveResponse(response)


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b'10\r\n{"conten',
        b'-5\r\n{"content": "hi"}\r\n0\r\n\r\n',
        b"5\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_damaged_chunks_are_the_senders_fault(server, messages, chunks):
    head = [f"POST {messages} HTTP/1.1", "Transfer-Encoding: chunked"]
    assert_problem(answer_to(server, head, chunks), 400)


def test_a_client_that_asks_first_is_spared_the_sending(server, messages):
    length = f"Content-Length: {10 * LIMIT}"
    head = [f"POST {messages} HTTP/1.1", length, "Expect: 100-continue"]
    assert_problem(answer_to(server, head), 413)


def test_a_body_that_ends_before_its_length_stores_nothing(server):
    body = b'{"name": "cut off"}'
    head = (
        f"POST {SESSIONS} HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"{head}Content-Length: 50\r\n\r\n".encode() + body)
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    names = [chat["name"] for chat in server.request("GET", SESSIONS).json["sessions"]]
    assert "cut off" not in names


def test_what_cannot_be_read_as_a_request_is_not_logged(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"dear diary\r\n\r\n")
        answer = client.makefile("rb").read()
    assert b"application/problem+json" in answer
    assert "Invalid request from" in server.log
    assert "dear diary" not in server.log


@pytest.mark.parametrize(
    ("count", "size", "status"),
    [(240, 8, 200), (260, 8, 431), (300, 8000, 431)],
)
def test_headers_are_bounded(server, count, size, status):
    head = ["GET /healthz HTTP/1.1", *[f"A: {'a' * size}"] * count]
    answer = answer_to(server, head)
    if status == 200:
        assert answer.status_code == 200
    else:
        assert_problem(answer, status)


@pytest.mark.parametrize("header", ["Script_Name: /x", "Path_Info: /openapi.json"])
def test_no_header_of_a_client_says_where_the_application_is(server, header):
    answer = answer_to(server, ["GET /healthz HTTP/1.1", header])
    assert (answer.status_code, answer.json["status"]) == (200, "ok")
