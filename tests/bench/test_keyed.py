"""Appends with and without a key, over kept connections."""

import json

import pytest

from bench.contenders import Client
from bench.databases import KINDS, databases
from bench.keyed import appending, measure
from bench.load import CONNECTIONS
from bench.server import running_chatstore
from bench.slices import connected, send_for, status_of


@pytest.fixture(scope="module")
def port():
    with running_chatstore() as server:
        yield server.port


@pytest.fixture
def connections(port):
    with connected(port, CONNECTIONS) as opened:
        yield opened


def counts(client: Client) -> list[int]:
    _, answer = client.send("GET", f"/api/v1/sessions/?limit={CONNECTIONS}")
    return [each["message_count"] for each in json.loads(answer)["sessions"]]


@pytest.mark.parametrize("is_keyed", [False, True])
def test_every_append_is_answered_and_stored_once(port, connections, is_keyed):
    with Client(port) as client:
        request = appending(client, is_keyed=is_keyed)
        sent: list[int] = []

        def counted(number: int) -> bytes:
            sent.append(number)
            return request(number)

        one, other = (send_for(connections, counted, 0.1) for _ in range(2))
        stored = counts(client)
    assert (one.errors, other.errors) == (0, 0)
    assert min(one.per_second, other.per_second) > 0
    assert sorted(stored) == sorted(sent.count(n) for n in range(CONNECTIONS))
    # Each connection sends at least once in a slice.
    assert min(stored) >= 2


def test_refusals_are_errors_and_no_answers(connections):
    path = "/api/v1/sessions/00000000-0000-4000-8000-000000000000"
    missing = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    found = send_for(connections, lambda number: missing, 0)
    assert (found.per_second, found.errors) == (0, CONNECTIONS)


def test_only_some_appends_have_a_key_and_each_another_one(port):
    with Client(port) as client:
        plain, keyed = (appending(client, is_keyed=each) for each in (False, True))
    assert b"Idempotency-Key" not in plain(0)
    sent = [keyed(number) for number in (0, 0, 1)]
    keys = {each.partition(b"Idempotency-Key: ")[2].split(b"\r\n")[0] for each in sent}
    assert len(keys - {b""}) == 3


@pytest.mark.parametrize("length", [0, 5])
def test_an_answer_is_complete_with_its_last_byte(length):
    answer = b"HTTP/1.1 201 CREATED\r\ncontent-LENGTH: %d\r\nA: b\r\n\r\n" % length
    answer += b"x" * length
    assert status_of(answer) == 201
    assert not any(status_of(answer[:end]) for end in range(len(answer)))


def test_a_connection_that_is_closed_is_an_error(port):
    with connected(port, 1) as (only,):
        only.send(b"nonsense\r\n\r\n")
        with pytest.raises(ConnectionError):
            while True:
                only.receive()


@pytest.mark.parametrize("kind", KINDS)
def test_both_are_measured_in_turn(kind):
    with databases() as made:
        found = measure(made, kind, pairs=2, seconds=0.05)
    assert found["errors"] == 0
    assert found["ratio"].first > 0
