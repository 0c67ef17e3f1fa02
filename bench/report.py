"""Writes the tables and charts of docs/performance.md from bench/results.

Run `python -m bench.report`. It replaces the text between `<!-- figures: name -->`
and `<!-- end -->`, so no figure is typed by hand.
"""

import re
from pathlib import Path

from bench import tables
from bench.results import FOLDER, read_results
from bench.server import ROOT
from bench.summary import summary

DOCUMENT = ROOT / "docs" / "performance.md"
CHARTS = ROOT / "docs" / "performance"
NAMES = (
    *("speed", "keyed", "tail", "libraries", "growth", "branches"),
    *("many", "feed", "access", "waiting", "worst", "relevance"),
)
_NOTHING = "Not measured yet."


def fill_document(text: str, blocks: dict[str, list[str]]) -> str:
    """Return the document with each block of lines between its markers.

    Raise ValueError for a block without markers.
    """
    for name, lines in blocks.items():
        marked = rf"(<!-- figures: {re.escape(name)} -->\n).*?(<!-- end -->)"
        body = "\n".join(lines).strip()
        text, count = re.subn(
            marked, lambda m, body=body: f"{m[1]}\n{body}\n\n{m[2]}", text, flags=re.S
        )
        if count != 1:
            raise ValueError(f"the document has {count} places for {name}")
    return text


def block(name: str, *, results: Path, charts: Path) -> list[str]:
    """Return the lines on one measurement: the method, charts, tables."""
    found = read_results(name, results)
    if found is None:
        return [_NOTHING]
    from bench import charts as drawing  # matplotlib is slow to import

    draw = getattr(drawing, name, None)  # some measurements have no chart
    paths = draw(found, charts) if draw else []
    images = [f"![{path.stem}]({charts.name}/{path.name})" for path in paths]
    return [tables.how(found), "", *getattr(tables, name)(found), "", *images]


def main() -> None:
    blocks = {name: block(name, results=FOLDER, charts=CHARTS) for name in NAMES}
    measured = {name: each for name, each in blocks.items() if each != [_NOTHING]}
    text = fill_document(DOCUMENT.read_text("utf-8"), measured)
    text = fill_document(text, {"summary": summary(text, CHARTS.name)})
    DOCUMENT.write_text(text, "utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")
    for name in blocks.keys() - measured.keys():
        print(f"{name}: not measured here, left as it was")


if __name__ == "__main__":
    main()
