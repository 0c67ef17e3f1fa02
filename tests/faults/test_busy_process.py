"""Long or large requests leave a process free for other requests."""

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack

import pytest

from chatstore.clock import Deadline
from chatstore.db import database_state, db
from chatstore.web import parsing
from tests.support import API, SESSIONS, messages_url, wait_until

SEARCHES = 12


def test_searches_leave_connections_for_the_others(make_app, make_session):
    app, chat = make_app(threads=8), make_session(messages=1)
    searches = database_state(app).search_turns

    def find(number):
        answer = app.test_client().get(f"{API}/search?q=m1")
        return answer.status_code, len(answer.json["hits"])

    with ThreadPoolExecutor(SEARCHES) as pool:
        with ExitStack() as others:
            for _ in range(2):  # a quarter of the connections
                others.enter_context(searches.taken("connections", Deadline(0)))
            finding = [pool.submit(find, number) for number in range(SEARCHES)]
            wait_until(lambda: searches.count_waiting("connections") == SEARCHES)
            with app.app_context():
                assert db.engine.pool.checkedout() == 0
            said = app.test_client().post(messages_url(chat), json={"content": "x"})
            assert said.status_code == 201
            assert not wait(finding, timeout=0).done
        assert [each.result() for each in finding] == [(200, 1)] * SEARCHES


def test_a_process_makes_objects_of_one_large_body_at_a_time(app, make_session):
    url = messages_url(make_session())
    large = {"content": "x", "metadata": {"x": "y" * parsing.LARGE_BYTES}}

    def say(body):
        return app.test_client().post(url, json=body).status_code

    with ThreadPoolExecutor(3) as pool:
        with parsing.large_bodies.taken("process", Deadline(0)):
            saying = [pool.submit(say, large) for _ in range(3)]
            wait_until(lambda: parsing.large_bodies.count_waiting("process") == 3)
            assert say({"content": "small"}) == 201
            assert not wait(saying, timeout=0).done
        assert [each.result() for each in saying] == [422] * 3
    assert app.test_client().get(SESSIONS).status_code == 200


@pytest.mark.parametrize("path", [SESSIONS, f"{SESSIONS}bulk"])
def test_no_small_body_waits_for_large_ones(alice, path):
    with parsing.large_bodies.taken("process", Deadline(0)):
        answer = alice.post(path, json={"name": 1, "ids": 1})
    assert answer.status_code == 422
