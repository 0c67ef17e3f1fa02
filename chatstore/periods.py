"""Cuts a range of time into local hours, days, weeks or months; knows no database.

A day begins at midnight of its time zone, so it may have 23 or 25 hours.
"""

import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from chatstore.enums import UsageBucket
from chatstore.errors import Flaw, ValidationFailed

MAX_PERIODS = 10_000
DEFAULT_PERIODS = 30
# The years for which time zones are known well and every conversion succeeds.
YEARS = range(1970, 2200)
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)

DayOrInstant = date | datetime


@dataclass(frozen=True)
class Period:
    """One hour, day, week or month: `start` <= instant < `end`, in UTC."""

    start: datetime
    end: datetime
    label: str


@cache
def known_zones() -> frozenset[str]:
    """Return the names of the time zones of this machine and of the package tzdata."""
    # Systems add these two: the machine's own zone, and one that is not set.
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}


def periods_between(
    start: DayOrInstant | None,
    end: DayOrInstant | None,
    *,
    by: UsageBucket,
    tz: str,
    now: datetime,
) -> Sequence[Period]:
    """Return the whole periods that overlap `start` <= instant < `end`, ascending.

    A date is its midnight in the time zone `tz`. Without an `end` the last period is
    the current one, and without a `start` there are `DEFAULT_PERIODS`. Raises
    ValidationFailed if the range is empty, is outside of `YEARS` or has more than
    `MAX_PERIODS`.
    """
    zone = ZoneInfo(tz)
    # An instant at which a period begins is in this period.
    just_now = now + datetime.resolution
    until = _instant(end, zone, "/to") if end is not None else just_now
    since = _instant(start, zone, "/from") if start is not None else None
    if since is None:
        earliest = until - _LONGEST[by] * (DEFAULT_PERIODS + 1)
        return _cut(earliest, until, by, zone)[-DEFAULT_PERIODS:]
    if since >= until:
        raise ValidationFailed([Flaw("/from", "It must be before `to`.")])
    periods = _cut(since, until, by, zone)
    if len(periods) > MAX_PERIODS:
        detail = f"The range has more than {MAX_PERIODS} periods. Give a shorter one."
        raise ValidationFailed([Flaw("/from", detail)])
    return periods


_LONGEST = {
    UsageBucket.HOUR: 2 * _HOUR,
    UsageBucket.DAY: _DAY + _HOUR,
    UsageBucket.WEEK: 7 * _DAY + _HOUR,
    UsageBucket.MONTH: 31 * _DAY + _HOUR,
}


def _instant(given: DayOrInstant, zone: tzinfo, pointer: str) -> datetime:
    if given.year not in YEARS:
        detail = f"The year must be from {YEARS[0]} to {YEARS[-1]}."
        raise ValidationFailed([Flaw(pointer, detail)])
    return given if isinstance(given, datetime) else _midnight(given, zone)


def _cut(
    since: datetime, until: datetime, by: UsageBucket, zone: tzinfo
) -> list[Period]:
    """Return at most one period more than `MAX_PERIODS`."""
    found = (
        Period(start, end, _label(start, by, zone))
        for start, end in pairwise(_starts(since, until, by, zone))
        if start < until and since < end
    )
    return list(islice(found, MAX_PERIODS + 1))


def _starts(
    since: datetime, until: datetime, by: UsageBucket, zone: tzinfo
) -> Iterator[datetime]:
    """Yield the ascending starts from that of `since` to the first one past `until`."""
    last = None
    for day in _first_days(since.astimezone(zone).date(), by):
        midnight = _midnight(day, zone)
        hours = _hours(day, zone) if by is UsageBucket.HOUR else [midnight]
        # A zone that jumped over a day has two equal midnights.
        yield from (each for each in hours if last is None or each > last)
        last = hours[-1]
        if midnight > until:
            return


def _first_days(day: date, by: UsageBucket) -> Iterator[date]:
    """Yield the first days of the periods, from the period of `day` on."""
    if by is UsageBucket.MONTH:
        month = 12 * day.year + day.month - 1
        while True:
            yield date(month // 12, month % 12 + 1, 1)
            month += 1
    step = 7 if by is UsageBucket.WEEK else 1
    # ISO weeks begin on Monday.
    day -= timedelta(days=day.weekday() if by is UsageBucket.WEEK else 0)
    while True:
        yield day
        day += timedelta(days=step)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _hours(day: date, zone: tzinfo) -> list[datetime]:
    """Return the instants of the day at which the local clock shows a full hour."""
    first, last = _midnight(day, zone), _midnight(day + _DAY, zone)
    if last - first == _DAY:
        return [first + hour * _HOUR for hour in range(24)]
    clock = [datetime(day.year, day.month, day.day, hour) for hour in range(24)]
    # An hour that the clock shows twice has a second instant, with fold=1. One that the
    # clock leaves out is shown as another hour.
    found = (
        (local.replace(tzinfo=zone, fold=fold).astimezone(UTC), local)
        for local in clock
        for fold in (0, 1)
    )
    shown = (
        instant
        for instant, local in found
        if instant.astimezone(zone).replace(tzinfo=None) == local
    )
    return sorted({first, *shown})


def _label(start: datetime, by: UsageBucket, zone: tzinfo) -> str:
    local = start.astimezone(zone)
    if by is UsageBucket.HOUR:
        return local.isoformat(timespec="minutes")
    if by is UsageBucket.MONTH:
        return f"{local:%Y-%m}"
    if by is UsageBucket.WEEK:
        year, week, _ = local.isocalendar()
        return f"{year}-W{week:02}"
    return f"{local:%Y-%m-%d}"
