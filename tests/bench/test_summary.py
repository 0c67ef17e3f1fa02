"""The summary repeats the tables of its document."""

from bench.report import CHARTS, DOCUMENT, fill_document
from bench.summary import CHART, FIGURES, summary

SPEED = """<!-- figures: speed -->
| figure | of | requests/s |
| --- | --- | --- |
| append | ceiling | 9 (8 to 10) |
| append | chatstore, sqlite | 5 (4 to 6) |
| append | chatstore, postgresql | 1,234 (1 to 2,000) |

| also | is |
| --- | --- |
| messages/s in batches, sqlite | 17.8 × |
<!-- end -->
"""
GROWTH = """<!-- figures: growth -->
**sqlite**, scale 1

| search for | p50 ms | p95 ms |
| --- | --- | --- |
| a common word | 3 (2 to 4) | 5 |

**postgresql**, scale 1

| search for | p50 ms | p95 ms |
| --- | --- | --- |
| a common word | 7 (6 to 8) | 9 |
<!-- end -->
"""


def row(lines: list[str], label: str) -> str:
    (found,) = (each for each in lines if each.startswith(f"| {label}"))
    return found


def test_a_figure_is_the_median_of_its_cell():
    found = row(summary(SPEED, "charts"), "appends per second")
    assert found == "| appends per second, 8 clients | 5 | 1,234 |"


def test_a_figure_comes_from_the_table_of_its_database():
    found = row(summary(SPEED + GROWTH, "charts"), "search for a common word")
    assert found == "| search for a common word, p50 ms | 3 | 7 |"


def test_a_figure_without_its_cell_is_not_measured():
    found = row(summary(SPEED, "charts"), "messages per second, batches")
    assert found.endswith("| 17.8 × | not measured |")


def test_the_document_begins_with_the_figures_of_its_tables():
    text = DOCUMENT.read_text("utf-8")
    lines = summary(text, CHARTS.name)
    assert fill_document(text, {"summary": lines}) == text
    assert text.index("<!-- figures: summary -->") < text.index("\n## ")
    assert len(FIGURES) == 10
    assert not [line for line in lines if "not measured" in line]
    assert (CHARTS / f"{CHART}.svg").exists()
