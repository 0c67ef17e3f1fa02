"""Hostile credentials as bytes, sent to a real server, which reads headers itself."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

import pytest

from tests.support import (
    API,
    SESSIONS,
    LiveResponse,
    LiveServer,
    assert_problem,
    wait_until,
)
from tests.support.access import bearer
from tests.support.servers import metric, send_request
from tests.support.tokens import SECRET, sign

TOKEN = sign().encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {
        "auth": "api-key,jwt,proxy",
        "jwt_secret": SECRET,
        # The tests connect from 127.0.0.1.
        "trusted_proxies": "127.0.0.2",
        "proxy_hops": "1",
        "workers": "1",
    }
    with LiveServer(tmp_path_factory.mktemp("hostile"), **settings) as started:
        yield started


def answer_to(server, lines, client="127.0.0.1"):
    """Send a GET with exactly these header lines from `client`."""
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, 60, (client, 0)) as connection:
        head = [f"GET {SESSIONS} HTTP/1.1".encode(), b"Host: localhost", *lines]
        # The server may have answered before it has read everything.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"\r\n".join([*head, b"", b""]))
        with HTTPResponse(connection) as response:
            response.begin()
            return LiveResponse(response)


def test_the_token_of_these_tests_is_good(server):
    assert server.request("GET", SESSIONS, headers=bearer(sign())).status_code == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Authorization: Bearer " + TOKEN] * 2, 400),
        ([b"Authorization: Bearer " + TOKEN, b"Authorization:"], 400),
        ([b"Authorization: Bearer " + TOKEN, b"authorization: Basic YTpi"], 400),
        ([b"Authorization: Bearer " + TOKEN + b"\0"], 400),
        ([b"Authorization: Bearer \0" + TOKEN], 400),
        ([b"Authorization: Bearer\t" + TOKEN], 400),
        ([b"Authorization : Bearer " + TOKEN], 400),
        ([b"Authorization: Bearer " + TOKEN[:40], b" " + TOKEN[40:]], 400),
        ([b"Authorization: Bearer " + TOKEN[:40] + b"\n" + TOKEN[40:]], 400),
        ([b"Authorization: Bearer \xff\xfe"], 400),
        ([b"Authorization: Bearer " + b"a" * 8100], 401),
        ([b"Authorization: Bearer " + b"a" * 9000], 431),
        ([b"Authorization: Bearer " + b"a" * 10_000_000], 431),
        ([b"A: " + b"a" * 8000] * 1250, 431),
        ([b"Author_ization: Bearer " + TOKEN], 401),
        ([b"X-Forwarded-User: alice"], 401),
        ([b"X_Forwarded_User: alice"], 401),
        ([b"X-Forwarded-User: alice", b"X-Forwarded-For: 127.0.0.2"], 401),
        ([b"X-Chatstore-Owner: alice"], 401),
    ],
    ids=range(19),
)
def test_no_bytes_of_a_stranger_let_him_in(server, lines, status):
    assert_problem(answer_to(server, lines), status)


@pytest.mark.parametrize(
    "lines",
    [
        [b"X_Forwarded_User: alice"],
        [b"X-Forwarded-User: alice", b"X-Forwarded-User: bob"],
        [b"X-Forwarded-User: alice", b"x-forwarded-user: alice"],
        [b"X-Forwarded-User: \xff"],
        [b"X-Forwarded-User: " + b"a" * 256],
        [b"X-Forwarded-User:"],
    ],
    ids=range(6),
)
def test_a_proxy_that_passes_on_what_a_client_sent_lets_nobody_in(server, lines):
    good = answer_to(server, [b"X-Forwarded-User: alice"], client="127.0.0.2")
    assert good.status_code == 200
    assert_problem(answer_to(server, lines, client="127.0.0.2"), 401)


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"exp": 20}, 200),
        ({"exp": -20}, 200),
        ({"exp": -40}, 401),
        ({"nbf": 20}, 200),
        ({"nbf": 40}, 401),
        ({"iat": 40}, 401),
    ],
    ids=str,
)
def test_a_clock_may_be_wrong_by_half_a_minute(server, claims, status):
    now = int(time.time())
    text = sign({claim: now + seconds for claim, seconds in claims.items()})
    response = server.request("GET", SESSIONS, headers=bearer(text))
    assert response.status_code == status


def test_a_request_that_waits_keeps_its_proxy(server):
    headers = {"X-Forwarded-User": "ada", "X-Forwarded-For": "192.0.2.1"}

    def ask(method, path, body=None):
        return send_request(
            server.port, method, path, body, headers, client="127.0.0.2"
        )

    token = ask("GET", f"{API}/changes").json["next"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, "GET", f"{API}/changes?since={token}&wait=30")
        wait_until(lambda: metric(server, "chatstore_waiting_requests") == 1)
        assert ask("POST", SESSIONS, {}).status_code == 201
        answer = waiting.result()
    assert (answer.status_code, len(answer.json["changes"])) == (200, 1)


def test_no_credential_is_logged(server):
    damaged = sign({"sub": "mallory"})[:-3] + "xyz"
    answer = server.request("GET", SESSIONS, headers=bearer(damaged))
    assert_problem(answer, 401)
    assert damaged not in server.log
    assert TOKEN.decode() not in server.log
    assert "Traceback" not in server.log
