from datetime import UTC, datetime, timedelta

import pytest

from chatstore.clock import stopped_at, utc_now


def test_now_is_an_aware_instant_in_utc():
    before = datetime.now(UTC)
    assert before <= utc_now() <= datetime.now(UTC)
    assert utc_now().utcoffset() == timedelta(0)


def test_the_clock_of_a_test_goes_on_by_its_step(clock):
    first = utc_now()
    clock.step = timedelta(microseconds=-1)
    assert utc_now() - first == timedelta(microseconds=-1)


def test_a_stopped_clock_goes_on_after_the_block_even_after_an_error():
    past = datetime(2020, 2, 29, tzinfo=UTC)
    with pytest.raises(ZeroDivisionError), stopped_at(past):
        assert utc_now() == utc_now() == past
        raise ZeroDivisionError
    assert utc_now() > past
