from datetime import UTC, datetime, timedelta

from chatstore.clock import utc_now


def test_now_is_an_aware_instant_in_utc():
    before = datetime.now(UTC)
    assert before <= utc_now() <= datetime.now(UTC)
    assert utc_now().utcoffset() == timedelta(0)


def test_the_clock_of_a_test_goes_on_by_its_step(clock):
    first = utc_now()
    clock.step = timedelta(microseconds=-1)
    assert utc_now() - first == timedelta(microseconds=-1)
