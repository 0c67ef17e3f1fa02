"""Reports what an owner used, and adds messages to the counts; see `store.usage`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chatstore.clock import utc_now
from chatstore.db import run_read
from chatstore.enums import UsageBucket, UsageSplit
from chatstore.periods import DayOrInstant, periods_between
from chatstore.services.steps import run_step
from chatstore.store import usage
from chatstore.store.usage import BOUNDS, Bounds, Counts, PeriodUsage


@dataclass(frozen=True)
class UsageReport:
    """The `content` of an answer, and whether the background worker is needed."""

    content: dict[str, Any]
    needs_worker: bool


def report_usage(
    *,
    owner_id: str,
    start: DayOrInstant | None = None,
    end: DayOrInstant | None = None,
    by: UsageBucket = UsageBucket.DAY,
    tz: str = "UTC",
    split: UsageSplit = UsageSplit.NONE,
    bounds: Bounds = BOUNDS,
) -> UsageReport:
    """Return what the owner used in the periods of `periods_between`.

    Raises ValidationFailed for a range that is empty or too long.
    """
    periods = periods_between(start, end, by=by, tz=tz, now=utc_now())
    found = run_read(
        usage.get_usage, periods, owner_id=owner_id, split=split, bounds=bounds
    )
    content = {
        "by": by,
        "tz": tz,
        "complete": found.is_complete,
        "total": _members(_sum(found.periods), split),
        "periods": [
            {"start": period.start, "end": period.end, "label": period.label}
            | _members(used, split)
            for period, used in zip(periods, found.periods, strict=True)
        ],
    }
    return UsageReport(content, found.needs_worker)


def _sum(periods: Sequence[PeriodUsage]) -> PeriodUsage:
    sums = map(sum, zip(*(each.counts for each in periods), strict=True))
    total = PeriodUsage(sum(each.sessions for each in periods), Counts(*sums))
    for part, counts in (part for each in periods for part in each.parts.items()):
        total.parts[part] = total.parts.get(part, Counts()).plus(counts)
    return total


def _members(used: PeriodUsage, split: UsageSplit) -> dict[str, Any]:
    members = used.counts._asdict() | {"sessions": used.sessions}
    if split is UsageSplit.NONE:
        return members
    parts = sorted(used.parts.items())
    named = [{split.value: part} | counts._asdict() for part, counts in parts]
    return members | {"split": named}


def add_usage(
    progress: Callable[[int], None] = lambda count: None, *, bounds: Bounds = BOUNDS
) -> None:
    """Add all messages that may be added; `progress` gets the number so far.

    Each batch is a transaction, so other writers get in between.
    """
    done = 0
    horizon = run_read(usage.find_horizon)
    while count := run_step(usage.add_batch, horizon=horizon, bounds=bounds):
        done += count
        progress(done)
