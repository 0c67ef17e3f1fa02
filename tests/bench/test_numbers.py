"""Medians, percentiles and ratios of rounds."""

import pytest

from bench.numbers import Quartiles, Spread, percentile, ratios, short


def test_a_spread_is_the_median_the_least_and_the_most():
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def test_of_many_rounds_a_quarter_is_below_and_a_quarter_above():
    found = Quartiles.of([9.0, 1.0, 2.0, 3.0, 4.0])
    assert found == Quartiles(first=2.0, median=3.0, third=4.0)
    assert str(found) == "3 (2 to 4)"


def test_ratios_are_of_rounds_side_by_side():
    # The ratio of the medians would be 1.
    assert ratios([1.0, 2.0, 6.0], [2.0, 1.0, 3.0]) == Spread(2.0, 0.5, 2.0)


def test_ratios_want_as_many_rounds_of_both():
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("part", "value"), [(50, 51), (99, 100), (100, 100), (0, 1)])
def test_a_percentile_is_a_value_that_occurred(part, value):
    assert percentile(range(1, 101), part) == value


@pytest.mark.parametrize(
    ("number", "text"),
    [(1234.5, "1,234"), (0.4567, "0.457"), (0, "0"), (0.00012, "0.000120")],
)
def test_numbers_are_short_and_have_no_exponent(number, text):
    assert short(number) == text
