"""The arithmetic of measurements: medians with their spread, percentiles, ratios."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, and the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Sum up the values of the rounds, of which there must be one."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))

    @classmethod
    def read(cls, kept: dict[str, Any]) -> "Spread":
        """Return what was kept as JSON."""
        return cls(kept["median"], kept["least"], kept["most"])

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.least)} to {short(self.most)})"


@dataclass(frozen=True)
class Quartiles:
    """The median of many short rounds, and the quartiles below and above it.

    The least and the most of many show only the worst neighbour.
    """

    first: float
    median: float
    third: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Quartiles":
        """Sum up the values of the rounds, of which there must be two."""
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))

    @classmethod
    def read(cls, kept: dict[str, Any]) -> "Quartiles":
        """Return what was kept as JSON."""
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
    """Sum up the ratios of rounds that ran side by side."""
    return Spread.of(a / b for a, b in zip(values, base, strict=True))


def short(number: float) -> str:
    """Write a number with three digits that count, and no exponent."""
    if not math.isfinite(number):
        return "none"
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 or not number else f"{number:.6f}"
