"""The arithmetic of measurements: medians with their spread, percentiles, ratios."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The median, minimum and maximum of several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of the values; there must be at least one."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))

    @classmethod
    def read(cls, kept: dict[str, Any]) -> "Spread":
        """Return the spread from its JSON object."""
        return cls(kept["median"], kept["least"], kept["most"])

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.least)} to {short(self.most)})"


@dataclass(frozen=True)
class Quartiles:
    """The median of many short rounds, with the quartiles below and above it.

    The minimum and maximum of many rounds only show the worst disturbance.
    """

    first: float
    median: float
    third: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Quartiles":
        """Return the quartiles of the values; there must be at least two."""
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))

    @classmethod
    def read(cls, kept: dict[str, Any]) -> "Quartiles":
        """Return the quartiles from their JSON object."""
        return cls(kept["first"], kept["median"], kept["third"])

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.first)} to {short(self.third)})"


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value that `part` per cent of the sorted values do not exceed."""
    if not ordered:
        return float("nan")
    place = min(len(ordered) - 1, int(len(ordered) * part / 100))
    return ordered[place]


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Return the spread of `values[i] / base[i]`, which ran in the same round."""
    return Spread.of(a / b for a, b in zip(values, base, strict=True))


def short(number: float) -> str:
    """Format a number with three significant digits and no exponent."""
    if not math.isfinite(number):
        return "none"
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 or not number else f"{number:.6f}"
