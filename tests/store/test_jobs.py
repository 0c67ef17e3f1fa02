from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chatstore.db import run_write
from chatstore.store import jobs


@pytest.fixture
def still(clock):
    clock.step = timedelta(0)
    return clock


def test_one_holder_at_a_time_has_the_lease(db_session, still):
    assert run_write(jobs.claim, "work", "a")
    assert not run_write(jobs.claim, "work", "b")
    assert run_write(jobs.claim, "work", "a")
    assert run_write(jobs.claim, "other", "b")
    run_write(jobs.release, "work", "b")
    assert not run_write(jobs.claim, "work", "b")
    run_write(jobs.release, "work", "a")
    assert run_write(jobs.claim, "work", "b")


def test_a_lease_ends_unless_it_is_renewed(db_session, still):
    run_write(jobs.claim, "work", "a")
    still.now += jobs.LEASE
    assert run_write(jobs.claim, "work", "a")
    still.now += jobs.LEASE
    assert not run_write(jobs.claim, "work", "b")
    still.now += timedelta(microseconds=1)
    assert run_write(jobs.claim, "work", "b")
    assert not run_write(jobs.claim, "work", "a")


def test_of_many_at_once_one_gets_the_lease(app):
    def claim(holder):
        with app.app_context():
            return run_write(jobs.claim, "work", holder)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, "abcdefgh")) == 1


def test_work_is_due_after_its_time(db_session, still):
    hour = timedelta(hours=1)
    assert jobs.is_due("work", hour)
    run_write(jobs.finish, "work")
    assert not jobs.is_due("work", hour)
    still.now += hour
    assert jobs.is_due("work", hour)
    run_write(jobs.finish, "work")
    assert not jobs.is_due("work", hour)
