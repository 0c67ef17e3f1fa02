from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from chatstore import clock
from chatstore.clock import Deadline
from chatstore.db.turns import Turns
from chatstore.errors import DatabaseUnavailable
from tests.support import wait_until


def test_as_many_as_fit_are_in_and_the_next_is_refused_at_its_deadline():
    turns = Turns(places=2)
    with ExitStack() as inside:
        for _ in range(2):
            inside.enter_context(turns.taken("a", Deadline(0)))
        with pytest.raises(DatabaseUnavailable), turns.taken("a", Deadline(0)):
            pytest.fail("three are in")
        with turns.taken("b", Deadline(0)):  # each key has its own places
            pass
    with turns.taken("a", Deadline(0)):
        pass
    assert turns._queues == {}


def test_places_are_given_in_the_order_of_arrival():
    turns, order = Turns(places=1), []

    def enter(number):
        with turns.taken("a", Deadline(20)):
            order.append(number)

    with ThreadPoolExecutor(5) as pool, turns.taken("a", Deadline(20)):
        for number in range(5):
            pool.submit(enter, number)
            wait_until(lambda: turns.count_waiting("a") == number + 1)  # noqa: B023
    assert order == list(range(5))


def test_an_error_gives_the_place_back():
    turns = Turns(places=1)
    with pytest.raises(KeyError), turns.taken("a", Deadline(0)):
        raise KeyError
    with turns.taken("a", Deadline(0)):
        pass


def test_a_deadline_counts_down_and_ends(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic_source", lambda: now[0])
    deadline = Deadline(30)
    now[0] += 12
    assert (deadline.remaining_seconds(), deadline.is_over) == (18, False)
    now[0] += 20
    assert (deadline.remaining_seconds(), deadline.is_over) == (0, True)
