"""Draws the results as SVG charts; knows the shapes of the files in bench/results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

from bench.contenders import FIGURES
from bench.numbers import Spread

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "chatstore"  # makes the output reproducible
matplotlib.rcParams["svg.fonttype"] = "none"

from matplotlib.figure import Figure  # noqa: E402, must follow matplotlib.use()

_OURS, _OTHERS = "#2b6cb0", "#a0aec0"


def speed(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draw requests per second, one chart per figure."""
    return [
        _bars(
            folder / f"speed-{figure.replace(' ', '-')}.svg",
            f"{figure}: requests per second",
            {
                name: Spread.read(figures[figure]["per_second"])
                for name, figures in found["contenders"].items()
            },
        )
        for figure in FIGURES
    ]


def libraries(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draw how much slower an append is in a long session."""
    growth = {
        name: Spread.read(each["append growth"]) for name, each in found["arms"].items()
    }
    appends = {
        f"{name}, at {size}": Spread.read(each[size]["append_ms"])
        for name, each in found["arms"].items()
        for size in ("10", "2000")
    }
    return [
        _bars(
            folder / "libraries-growth.svg",
            "append at 2,000 messages / at 10 messages",
            growth,
        ),
        _bars(folder / "libraries-append.svg", "one append, ms", appends),
    ]


def tail(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the 99th percentile of appends by eight writers."""
    p99 = {name: Spread.read(each["p99_ms"]) for name, each in found["arms"].items()}
    return [_bars(folder / "tail.svg", "eight writers: p99 in ms", p99)]


def growth(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the slowdown that history causes, one chart per database."""
    return [
        _bars(
            folder / f"growth-{kind}.svg",
            f"{kind}: time with much history / with little",
            {
                name: Spread.read(each["ratio"])
                for name, each in figures["pairs"].items()
                if "skipped" not in each
            },
        )
        for kind, figures in found["databases"].items()
    ]


def many(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the p99 of normal load, alone and in the crowd."""
    p99 = {
        f"{figure}, {kind}, {when}": Spread.read(each[f"{when}_p99_ms"])
        for kind, figures in found["databases"].items()
        for figure, each in figures["normal load"].items()
        for when in ("alone", "among")
    }
    return [_bars(folder / "many.svg", "p99 of normal load, ms", p99)]


def _bars(path: Path, title: str, bars: Mapping[str, Spread]) -> Path:
    """Draw medians as bars, with the minimum and maximum of the rounds."""
    names, spreads = list(bars)[::-1], list(bars.values())[::-1]
    figure = Figure(figsize=(8, 1 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    medians = [each.median for each in spreads]
    below = [each.median - each.least for each in spreads]
    above = [each.most - each.median for each in spreads]
    colours = [_OURS if "chatstore" in name else _OTHERS for name in names]
    axes.barh(names, medians, xerr=(below, above), color=colours, capsize=3)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    return path
