"""The report fills the document between its markers and compares with the targets."""

import json
from dataclasses import asdict

import pytest

from bench import tables, targets
from bench.keyed import summed_up
from bench.numbers import Spread
from bench.report import DOCUMENT, NAMES, block, fill_document
from bench.slices import Slice


def spread(median: float) -> dict[str, float]:
    return asdict(Spread(median, median / 2, median * 2))


def kept(found: object) -> object:
    return json.loads(json.dumps(found, default=asdict))


def figures(per_second: float, ratio: float) -> dict[str, object]:
    names = ("p50_ms", "p99_ms", "max_ms", "p99/p50")
    return {
        "per_second": spread(per_second),
        "ratio": spread(ratio),
        "errors": 3,
    } | {name: spread(5.0) for name in names}


SPEED = {
    "contenders": {
        name: {figure: figures(rate, ratio) for figure in tables.FIGURES}
        for name, rate, ratio in (
            ("ceiling", 1000.0, 1.0),
            ("chatstore, sqlite", 500.0, 0.5),
            ("FastAPI peer, sqlite", 100.0, 0.1),
        )
    },
    "missing": {"FastAPI peer, postgresql": "no such driver"},
}


def test_a_block_replaces_what_is_between_its_markers():
    text = "a\n<!-- figures: one -->\nold\n<!-- end -->\nb\n"
    filled = fill_document(text, {"one": ["new", r"\1"]})
    assert filled == "a\n<!-- figures: one -->\n\nnew\n\\1\n\n<!-- end -->\nb\n"
    assert fill_document(filled, {"one": ["new", r"\1"]}) == filled


def test_a_block_without_markers_is_refused():
    with pytest.raises(ValueError, match="0 places for two"):
        fill_document("nothing", {"two": []})


def test_the_document_has_a_place_for_every_measurement():
    text = DOCUMENT.read_text("utf-8")
    places = ("summary", *NAMES)
    fill_document(text, {name: ["x"] for name in places})
    assert text.count("<!-- figures: ") == len(places)


def test_what_was_not_measured_says_so(tmp_path):
    assert block("many", results=tmp_path, charts=tmp_path) == ["Not measured yet."]


def test_the_table_says_which_targets_are_reached():
    lines = tables.speed(json.loads(json.dumps(SPEED)))
    row = next(each for each in lines if "| get session | chatstore, sqlite" in each)
    assert "500 (250 to 1,000)" in row
    assert "≥ 0.65: **not reached**" in row
    row = next(each for each in lines if "| append | chatstore, sqlite" in each)
    assert "≥ 0.3: reached" in row
    row = next(each for each in lines if "| append | FastAPI peer" in each)
    assert "reached" not in row
    assert row.endswith("| 3 |")


def test_the_table_derives_batches_and_the_peer():
    lines = "\n".join(tables.speed(SPEED))
    assert "| messages/s in batches, sqlite | 100 × | ≥ 15: reached |" in lines
    assert "| 50 sessions / of the FastAPI peer, sqlite | 5 × | ≥ 3: reached |" in lines
    assert "FastAPI peer, postgresql: not measured: no such driver" in lines


def test_clients_that_wait_have_their_targets():
    load = {
        "alone_p99_ms": spread(10.0),
        "among_p99_ms": spread(30.0),
        "ratio": spread(3.0),
        "among_per_second": spread(500.0),
        "errors": 1,
    }
    found = {
        "seconds until all are reached": spread(0.4),
        "normal load": {"get session": load},
        "troubles": 2,
    }
    lines = "\n".join(tables.waiting({"databases": {"sqlite": found}}))
    assert "reached all, sqlite | 0.4 (0.2 to 0.8) | ≤ 1: reached |" in lines
    assert "3 (1.5 to 6) ×; 500 (250 to 1,000) a second | ≤ 2: **not" in lines
    assert "| errors, sqlite | 3 | ≤ 0: **not reached** |" in lines


def test_appends_with_a_key_are_compared_pair_by_pair():
    plain, keyed = (
        [Slice(rate, errors=1) for rate in rates]
        for rates in (
            (100.0, 200.0, 100.0, 100.0, 100.0),
            (10.0, 180.0, 70.0, 80.0, 150.0),
        )
    )
    found = {"databases": {"sqlite": kept(summed_up(plain, keyed))}}
    assert tables.keyed(found)[2:] == [
        "| sqlite | 100 (100 to 100) | 80 (70 to 150) | 0.8 (0.7 to 0.9)"
        " | ≥ 0.8: reached | 10 |"
    ]


def test_pages_of_branches_are_compared():
    pair = {"ratio": spread(1.4), "this_ms": spread(2.0), "that_ms": spread(1.0)}
    pairs = {"one": pair | {"most": 1.5}, "other": pair | {"most": None}}
    found = {"databases": {"sqlite": {"scale": 1.0, "pairs": pairs}}}
    lines = tables.branches(found)
    assert lines[0] == "**sqlite**, scale 1"
    assert lines[4].endswith("| 1.4 (0.7 to 2.8) | ≤ 1.5: reached |")
    assert lines[5].endswith("| 1.4 (0.7 to 2.8) |  |")


def test_searches_are_judged_by_their_p95_and_by_the_scan():
    searches = {
        "a common word": {"this_ms": spread(5.0), "this_p95_ms": spread(50.0)},
        "a rare word": {"this_ms": spread(10.1), "this_p95_ms": spread(50.1)},
        "a phrase": {"skipped": "404"},
    }
    scans = {"a common word": spread(100.0), "a rare word": spread(200.0)}
    heads, _, *lines = tables.searches({"searches": searches, "scans": scans})
    assert heads == (
        "| search for | p50 ms | p95 ms | target | LIKE scan ms | faster | target |"
    )
    assert lines == [
        "| a common word | 5 (2.5 to 10) | 50 (25 to 100) | ≤ 50: reached"
        " | 100 (50 to 200) | 20 × | ≥ 20: reached |",
        "| a rare word | 10.1 (5.05 to 20.2) | 50.1 (25.1 to 100)"
        " | ≤ 50: **not reached** | 200 (100 to 400)"
        " | 19.8 × | ≥ 20: **not reached** |",
        "| a phrase | not measured: 404 |  |  |  |  |  |",
    ]
    assert {line.count("|") for line in lines} == {heads.count("|")}


def test_the_worst_cases_say_how_long_others_wait():
    case = {
        "ms": spread(2000.0),
        "answers": ["201", "503"],
        "settled_ms": None,
        "others_alone_max_ms": {"append": 9.0, "health": 8.0},
        "others_max_ms": {"append": 1001.0, "health": 12.0},
        "others_failed": 2,
        "grew_mb": 40.0,
    }
    other = case | {"settled_ms": spread(3000.0)}
    found = {
        "databases": {"sqlite": {"a": case}, "postgresql": {"b": other, "a": case}}
    }
    lines = tables.worst(found)[2:]
    assert [line.split(" | ")[:2] for line in lines] == [
        ["| a", "sqlite"],
        ["| a", "postgresql"],
        ["| b", "postgresql"],
    ]
    assert lines[0] == (
        "| a | sqlite | 201, 503 | 2,000 (1,000 to 4,000) |  | append 1,001, health 12"
        " | ≤ 1000: **not reached** | 9 | 2 | 40 |"
    )
    assert "| 3,000 (1,500 to 6,000) |" in lines[2]


def test_targets_are_reached_at_their_value():
    assert targets.at_least(3, 3) == "≥ 3: reached"
    assert targets.at_most(3, 3) == "≤ 3: reached"
    assert targets.at_most(3.01, 3) == "≤ 3: **not reached**"
