from datetime import UTC, date, datetime, timedelta

import pytest

from chatstore.enums import UsageBucket
from chatstore.errors import ValidationFailed
from chatstore.periods import known_zones, periods_between

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def cut(start, end, by, tz="UTC"):
    return periods_between(start, end, by=UsageBucket(by), tz=tz, now=NOW)


def lengths(periods):
    return [(each.end - each.start) / HOUR for each in periods]


def labels(periods):
    return [each.label for each in periods]


def test_days_of_utc():
    days = cut(date(2026, 2, 27), date(2026, 3, 2), "day")
    assert labels(days) == ["2026-02-27", "2026-02-28", "2026-03-01"]
    assert lengths(days) == [24, 24, 24]
    assert days[0].start == datetime(2026, 2, 27, tzinfo=UTC)


def test_days_are_those_of_the_zone_and_may_have_23_or_25_hours():
    spring = cut(date(2026, 3, 28), date(2026, 3, 31), "day", "Europe/Berlin")
    assert lengths(spring) == [24, 23, 24]
    assert spring[0].start == datetime(2026, 3, 27, 23, tzinfo=UTC)
    autumn = cut(date(2026, 10, 24), date(2026, 10, 27), "day", "Europe/Berlin")
    assert lengths(autumn) == [24, 25, 24]
    assert labels(autumn) == ["2026-10-24", "2026-10-25", "2026-10-26"]


def test_hours_of_a_day_with_25():
    hours = cut(date(2026, 10, 25), date(2026, 10, 26), "hour", "Europe/Berlin")
    assert len(hours) == 25
    assert labels(hours)[1:5] == [
        "2026-10-25T01:00+02:00",
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]
    assert set(lengths(hours)) == {1}


def test_hours_of_a_day_with_23():
    hours = cut(date(2026, 3, 29), date(2026, 3, 30), "hour", "Europe/Berlin")
    assert len(hours) == 23
    assert labels(hours)[1:3] == ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"]


def test_an_hour_begins_when_the_clock_shows_it():
    # Lord Howe turns its clock by half an hour.
    hours = cut(date(2026, 4, 5), date(2026, 4, 6), "hour", "Australia/Lord_Howe")
    assert len(hours) == 24
    assert lengths(hours)[:4] == [1, 1.5, 1, 1]
    hours = cut(date(2026, 10, 4), date(2026, 10, 5), "hour", "Australia/Lord_Howe")
    assert len(hours) == 23
    assert lengths(hours)[:4] == [1, 1.5, 1, 1]


@pytest.mark.parametrize(
    ("tz", "hour", "minute"), [("Asia/Kathmandu", 18, 15), ("Asia/Kolkata", 18, 30)]
)
def test_zones_with_half_and_quarter_hours(tz, hour, minute):
    (day,) = cut(date(2026, 5, 2), date(2026, 5, 3), "day", tz)
    assert day.start == datetime(2026, 5, 1, hour, minute, tzinfo=UTC)
    hours = cut(date(2026, 5, 2), date(2026, 5, 3), "hour", tz)
    assert len(hours) == 24
    assert hours[0].start == day.start


def test_a_midnight_that_the_clock_leaves_out():
    days = cut(date(2018, 11, 3), date(2018, 11, 6), "day", "America/Sao_Paulo")
    assert lengths(days) == [24, 23, 24]
    hours = cut(date(2018, 11, 4), date(2018, 11, 5), "hour", "America/Sao_Paulo")
    assert labels(hours)[0] == "2018-11-04T01:00-02:00"
    assert len(hours) == 23


def test_a_day_that_a_zone_jumped_over():
    days = cut(date(2011, 12, 29), date(2012, 1, 1), "day", "Pacific/Apia")
    assert labels(days) == ["2011-12-29", "2011-12-31"]
    assert lengths(days) == [24, 24]


def test_weeks_are_those_of_iso():
    weeks = cut(date(2026, 12, 31), date(2027, 1, 5), "week")
    assert labels(weeks) == ["2026-W53", "2027-W01"]
    assert weeks[0].start == datetime(2026, 12, 28, tzinfo=UTC)


def test_months():
    months = cut(date(2026, 12, 15), date(2027, 2, 1), "month", "America/New_York")
    assert labels(months) == ["2026-12", "2027-01"]
    assert months[0].start == datetime(2026, 12, 1, 5, tzinfo=UTC)


def test_instants_choose_whole_periods():
    start = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)
    days = cut(start, start + timedelta(minutes=2), "day")
    assert labels(days) == ["2026-11-01", "2026-11-02"]
    assert labels(cut(start, start + timedelta(minutes=1), "day")) == ["2026-11-01"]


@pytest.mark.parametrize("by", ["hour", "day", "week", "month"])
def test_by_default_the_last_of_thirty_periods_is_the_current_one(by):
    periods = cut(None, None, by, "America/New_York")
    assert len(periods) == 30
    assert periods[-1].start <= NOW < periods[-1].end


@pytest.mark.parametrize("by", ["hour", "day", "week", "month"])
@pytest.mark.parametrize("tz", ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_periods_follow_one_another(by, tz):
    periods = cut(date(2025, 1, 1), date(2026, 1, 1), by, tz)
    ends = [each.end for each in periods]
    assert [each.start for each in periods][1:] == ends[:-1]
    assert min(lengths(periods)) > 0
    assert len(set(labels(periods))) == len(periods)


def test_a_range_has_at_most_ten_thousand_periods():
    start = datetime(2025, 1, 1, tzinfo=UTC)
    assert len(cut(start, start + 10_000 * HOUR, "hour")) == 10_000
    for end in (start + 10_000 * HOUR + timedelta(seconds=1), date(2199, 1, 1)):
        with pytest.raises(ValidationFailed):
            cut(start, end, "hour")


@pytest.mark.parametrize(
    ("start", "end", "pointer"),
    [
        (date(2026, 1, 2), date(2026, 1, 2), "/from"),
        (date(2026, 1, 2), date(2026, 1, 1), "/from"),
        (date(1969, 12, 31), date(2026, 1, 1), "/from"),
        (date(2026, 1, 1), date(2200, 1, 1), "/to"),
        (date(2027, 1, 1), None, "/from"),
    ],
)
def test_a_bad_range_is_refused(start, end, pointer):
    with pytest.raises(ValidationFailed) as refused:
        cut(start, end, "day")
    assert refused.value.flaws[0].pointer == pointer


def test_each_zone_can_be_used():
    assert "Europe/Berlin" in known_zones()
    for tz in known_zones():
        assert cut(date(2026, 1, 1), date(2026, 1, 2), "day", tz)
