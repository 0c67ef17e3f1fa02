"""The comparison with the kept ratios."""

from bench.numbers import Spread
from bench.quick import fallen, read_kept
from bench.results import write_results


def one(median: float, least: float, most: float):
    return {"chatstore, sqlite": {"append": Spread(median, least, most)}}


def test_a_ratio_that_fell_by_more_than_its_spread_is_told():
    (sentence,) = fallen(one(0.50, 0.48, 0.52), one(0.40, 0.39, 0.42))
    assert sentence == (
        "chatstore, sqlite, append: was 0.5 (0.48 to 0.52) of the ceiling,"
        " is 0.4 (0.39 to 0.42)"
    )


def test_a_ratio_that_fell_within_the_spread_of_then_or_now_is_not_told():
    assert not list(fallen(one(0.50, 0.40, 0.55), one(0.40, 0.39, 0.42)))
    assert not list(fallen(one(0.50, 0.49, 0.51), one(0.40, 0.30, 0.45)))


def test_a_ratio_that_rose_is_not_told():
    assert not list(fallen(one(0.40, 0.39, 0.41), one(0.50, 0.49, 0.51)))


def test_a_figure_that_is_not_measured_any_more_is_told():
    (sentence,) = fallen(one(0.5, 0.4, 0.6), {})
    assert "not measured now" in sentence


def test_ratios_that_were_kept_are_read_back(tmp_path):
    kept = one(0.5, 0.4, 0.6)
    path = write_results("figures", {"ratios": kept}, folder=tmp_path)
    assert read_kept(path) == kept
    assert read_kept(tmp_path / "none.json") == {}
