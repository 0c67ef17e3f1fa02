"""The load generator counts the answers, and uses one path per connection."""

import json

import pytest

from bench.contenders import FIGURES, Client, requests_for
from bench.load import Request, has_wrk, send
from bench.server import running_ceiling, running_chatstore
from tests.support import need

TURN = {"content": "x" * 240}


@pytest.fixture(scope="module")
def port():
    with running_chatstore() as server:
        yield server.port


@pytest.fixture
def wrk():
    need("wrk", has_wrk())


def counts(port: int, paths: list[str]) -> list[int]:
    with Client(port) as client:
        return [
            json.loads(client.send("GET", each)[1])["message_count"] for each in paths
        ]


def test_every_connection_appends_to_a_session_of_its_own(wrk, port):
    with Client(port) as client:
        chats = [client.create_session() for _ in range(3)]
    paths = [f"{each}/messages" for each in chats]
    answers = send(port, Request(paths, TURN), seconds=1, connections=3)
    assert answers.errors == 0
    assert 0 < answers.p50_ms <= answers.p99_ms <= answers.max_ms
    stored = counts(port, chats)
    assert min(stored) > 0
    # wrk leaves the last request of each connection unread.
    assert answers.per_second == pytest.approx(sum(stored), rel=0.5)


def test_refusals_are_errors_and_no_answers(wrk, port):
    missing = Request(["/api/v1/sessions/00000000-0000-4000-8000-000000000000"])
    answers = send(port, missing, seconds=1, connections=2)
    assert answers.errors > 0
    assert answers.per_second == 0


def test_a_server_is_filled_with_what_the_figures_ask_for(port):
    requests = requests_for("chatstore", port)
    assert set(requests) == set(FIGURES)
    with Client(port) as client:
        status, answer = client.send("GET", requests["100 messages"].paths[-1])
        assert (status, len(json.loads(answer)["messages"])) == (200, 100)
        status, answer = client.send("GET", requests["50 sessions"].paths[0])
        assert (status, len(json.loads(answer)["sessions"])) == (200, 50)


def test_the_ceiling_answers_what_it_is_sent():
    with running_ceiling() as server, Client(server.port) as client:
        assert client.send("POST", "/", TURN) == (200, b'{"status":"ok"}\n')
