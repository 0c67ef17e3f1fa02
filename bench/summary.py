"""The ten figures at the top of docs/performance.md, copied from its own tables.

This module reads no results and no files, so the summary equals the tables even if
only one table was measured again.
"""

import re
from dataclasses import dataclass

from bench.databases import KINDS
from bench.tables import table

CHART = "speed-append"
_MISSING = "not measured"


@dataclass(frozen=True)
class Figure:
    """One line of the summary: its label, and the cell that it repeats.

    `cells` are the first cells of the row; `{kind}` stands for the database.
    """

    label: str
    block: str
    cells: tuple[str, ...]
    column: str


_APPEND = ("append", "chatstore, {kind}")
FIGURES = (
    Figure("appends per second, 8 clients", "speed", _APPEND, "requests/s"),
    Figure("the same, divided by bare Flask", "speed", _APPEND, "of the ceiling"),
    Figure("p99 of an append, ms", "speed", _APPEND, "p99 ms"),
    Figure(
        "sessions read per second, 8 clients",
        "speed",
        ("get session", "chatstore, {kind}"),
        "requests/s",
    ),
    Figure(
        "pages of 100 messages per second, 8 clients",
        "speed",
        ("100 messages", "chatstore, {kind}"),
        "requests/s",
    ),
    Figure(
        "messages per second, batches of 100 / single appends",
        "speed",
        ("messages/s in batches, {kind}",),
        "is",
    ),
    Figure(
        "appends with an `Idempotency-Key` / without", "keyed", ("{kind}",), "ratio"
    ),
    Figure(
        "append to the longest session / to a new one",
        "growth",
        ("append to the longest / to a new one",),
        "ratio",
    ),
    Figure(
        "page 10,000 of the sessions / page 1",
        "growth",
        ("page 10,000 of all sessions / first",),
        "ratio",
    ),
    Figure("search for a common word, p50 ms", "growth", ("a common word",), "p50 ms"),
)


def summary(text: str, folder: str) -> list[str]:
    """Return the lines of the summary of a document: a table and one chart."""
    rows = (
        [each.label, *(_value(text, each, kind) for kind in KINDS)] for each in FIGURES
    )
    return [
        *table(["figure", *KINDS], iter(rows)),
        "",
        f"![{CHART}]({folder}/{CHART}.svg)",
    ]


def _value(text: str, figure: Figure, kind: str) -> str:
    """Return the median in the cell that `figure` names."""
    marked = rf"<!-- figures: {figure.block} -->\n(.*?)<!-- end -->"
    block = re.search(marked, text, re.DOTALL)
    wanted = [each.format(kind=kind) for each in figure.cells]
    heads: list[str] = []
    for line in _of_database(block[1] if block else "", kind).splitlines():
        if not line.startswith("| "):
            heads = []
            continue
        cells = line.strip("| ").split(" | ")
        heads = heads or cells
        if cells[: len(wanted)] == wanted and figure.column in heads:
            return cells[heads.index(figure.column)].partition(" (")[0]
    return _MISSING


def _of_database(block: str, kind: str) -> str:
    """Return the part of a block below `**kind**`; the whole block if there is none."""
    _, found, part = block.partition(f"\n**{kind}**")
    return part.partition("\n**")[0] if found else block
