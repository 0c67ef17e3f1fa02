import socket
import threading

import pytest

from chatstore import clock as clock_module
from chatstore.access.jwt_tokens import TokenHeader
from chatstore.errors import TokenKeysUnavailable
from chatstore.logs import configure_logs
from chatstore.web.auth.key_sources import (
    REFRESH_SECONDS,
    RETRY_SECONDS,
    KeySource,
    most_waiting,
)
from tests.support import wait_until
from tests.support.tokens import issuer, jwk, key_set, rsa_key

OLD, NEW = TokenHeader("RS256", "old"), TokenHeader("RS256", "new")
OLD_SET = key_set(jwk(rsa_key(), kid="old"))
NEW_SET = key_set(jwk(rsa_key("two"), kid="new"))


@pytest.fixture(autouse=True)
def _logs():
    configure_logs(level="info", style="json")


@pytest.fixture
def served():
    with issuer(OLD_SET) as started:
        yield started


@pytest.fixture
def pass_time(monkeypatch):
    """Move the monotonic clock on by some seconds."""
    now = clock_module.monotonic_source()

    def move(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(clock_module, "monotonic_source", lambda: now)
    return move


def test_keys_are_fetched_when_first_needed_and_kept(served):
    source = KeySource(served.url)
    assert served.count == 0
    assert source.find(OLD).key == source.find(OLD).key == rsa_key().public_key()
    assert served.count == 1


def test_an_unknown_key_is_looked_for_again_after_half_a_minute(served, pass_time):
    source = KeySource(served.url)
    assert source.find(OLD)
    served.content = NEW_SET
    pass_time(RETRY_SECONDS - 1)
    assert [source.find(NEW) for _ in range(100)] == [None] * 100
    assert served.count == 1
    pass_time(2)
    assert source.find(NEW).key == rsa_key("two").public_key()
    assert served.count == 2
    # The issuer has withdrawn it.
    assert source.find(OLD) is None


def test_keys_are_fetched_again_after_an_hour_without_a_wait(served, pass_time):
    source = KeySource(served.url)
    assert source.find(OLD)
    served.content = NEW_SET
    served.gate.clear()
    pass_time(REFRESH_SECONDS + 1)
    # The answer does not come yet, and the old keys are enough.
    assert source.find(OLD)
    served.gate.set()
    wait_until(lambda: source.find(OLD) is None)
    assert (source.find(NEW) is not None, served.count) == (True, 2)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, NEW_SET),
        (302, NEW_SET),
        (404, b""),
        (200, b"<html>"),
        (200, b'{"keys": []}'),
        (200, b" " * (1024 * 1024) + NEW_SET),
    ],
    ids=lambda each: str(each)[:12],
)
def test_a_failure_keeps_the_old_keys_and_is_logged(
    served, pass_time, caplog, status, content
):
    source = KeySource(served.url)
    assert source.find(OLD)
    served.status, served.content = status, content
    served.location = f"{served.url}&elsewhere"
    pass_time(RETRY_SECONDS + 1)
    assert source.find(NEW) is None
    assert source.find(OLD)
    assert served.count == 2
    assert "keys not read" in caplog.text


def test_an_answer_that_does_not_come_is_not_waited_for(served):
    served.gate.clear()
    source = KeySource(served.url)
    with pytest.raises(TokenKeysUnavailable):
        source.find(OLD)
    served.gate.set()


def test_an_answer_that_drips_is_cut_off():
    # Each byte is in time for the timeout of a socket, but the answer has no end.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = KeySource(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        has_ended = threading.Event()

        def drip():
            with listener.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nA: ")
                while not has_ended.wait(0.2):
                    try:
                        connection.sendall(b"a")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        with pytest.raises(TokenKeysUnavailable):
            source.find(OLD)
        wait_until(lambda: not any(t.name == "keys" for t in threading.enumerate()))
        has_ended.set()
        dripping.join()


def test_many_requests_at_once_fetch_once(served):
    source, found = KeySource(served.url, max_waiting=8), []
    served.gate.clear()
    threads = [
        threading.Thread(target=lambda: found.append(source.find(OLD)))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    served.gate.set()
    for each in threads:
        each.join()
    assert (len(found), None in found, served.count) == (8, False, 1)


@pytest.mark.parametrize("max_waiting", [0, 2])
def test_few_requests_wait_and_the_others_are_answered_at_once(
    served, pass_time, max_waiting
):
    source, found = KeySource(served.url, max_waiting=max_waiting), []
    served.gate.clear()
    threads = [
        threading.Thread(target=lambda: found.append(source.find(OLD)))
        for _ in range(max_waiting)
    ]
    for each in threads:
        each.start()
    wait_until(lambda: source._places._value == 0)
    for _ in range(100):
        with pytest.raises(TokenKeysUnavailable):
            source.find(NEW)
    assert found == []
    served.gate.set()
    for each in threads:
        each.join()
    wait_until(lambda: source._keys)
    assert source.find(OLD) and len(found) == max_waiting
    assert served.count == 1


@pytest.mark.parametrize(
    ("threads", "waiting"), [(1, 0), (2, 1), (4, 1), (8, 2), (1000, 250)]
)
def test_some_threads_never_wait_for_keys(threads, waiting):
    assert most_waiting(threads) == waiting
