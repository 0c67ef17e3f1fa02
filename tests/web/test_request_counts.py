import pytest

from chatstore import clock as clock_module
from chatstore.errors import SettingsError
from chatstore.web.request_counts import LocalCounts, SharedCounts
from tests.support import free_port, on_sqlite
from tests.support.redis import Redis, SilentServer


@pytest.fixture
def redis(tmp_path):
    with Redis(tmp_path) as server:
        yield server


@pytest.fixture
def later(monkeypatch):
    """Move the monotonic clock on by some seconds."""

    def move(seconds):
        then = clock_module.monotonic_source() + seconds
        monkeypatch.setattr(clock_module, "monotonic_source", lambda: then)

    move(0)  # it stands still
    return move


def test_the_oldest_keys_are_forgotten(later):
    counts = LocalCounts(max_keys=2)
    for key in "abc":
        counts.add(key)
    assert [counts.add(key).count for key in "cba"] == [2, 2, 1]


def test_processes_count_together_in_a_redis(redis):
    first, second = SharedCounts(redis.url), SharedCounts(redis.url)
    counted = [first.add("a"), second.add("a"), first.add("b"), second.add("a")]
    assert [each.count for each in counted] == [1, 2, 1, 3]
    assert {each.reset_seconds for each in counted} <= {59, 60}


@on_sqlite
def test_an_absent_redis_is_logged_once_a_minute_without_its_password(
    app, later, caplog
):
    counts = SharedCounts(f"redis://:s3cret@127.0.0.1:{free_port()}/0")
    for _ in range(11):
        assert counts.add("a") is None
        later(6)  # the pause is over
    assert caplog.text.count("Redis is away") == 2
    assert "s3cret" not in caplog.text


def test_a_dead_redis_is_not_asked_before_the_pause_is_over(tmp_path, later):
    port = free_port()
    counts = SharedCounts(f"redis://127.0.0.1:{port}/0")
    assert counts.add("a") is None
    with Redis(tmp_path, port):
        assert counts.add("a") is None
        later(6)
        assert counts.add("a").count == 1


def test_a_redis_that_hangs_is_given_up():
    with SilentServer() as server:
        counts = SharedCounts(server.url)
        assert counts.add("a") is None
        assert counts.add("a") is None  # the pause


def test_a_bad_url_is_refused_without_its_password():
    with pytest.raises(SettingsError) as caught:
        SharedCounts("redis://:s3cret@host:port/0")
    assert "s3cret" not in caught.value.detail
