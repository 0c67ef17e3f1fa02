"""Writes results as Markdown tables; knows the shapes of the files in bench/results."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from bench import targets
from bench.contenders import BATCH, FIGURES
from bench.databases import KINDS
from bench.numbers import Quartiles, Spread, short

Found = dict[str, Any]
READS = FIGURES[:3]
_RELEVANCE = ("mean reciprocal rank", "recall at 10")
_READ = ("get session", "100 messages", "50 sessions", "search")


def table(heads: Sequence[str], rows: Iterator[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(str(each) for each in line) + " |" for line in lines]


def how(found: Found) -> str:
    """Return one line on the method and the machine."""
    machine, parts = found["machine"], found["machine"]["versions"]
    versions = ", ".join(f"{name} {version}" for name, version in parts.items())
    options = ", ".join(f"{name} {value}" for name, value in found["how"].items())
    load = machine["load"][0]
    return (
        f"{machine['processors']} processors (load {load} at the end), Python"
        f" {machine['python']}, {versions}; {options}."
    )


def speed(found: Found) -> list[str]:
    """Return requests per second, compared with the ceiling."""
    heads = ["figure", "of", "requests/s", "of the ceiling", "target", "p50 ms"]
    heads += ["p99 ms", "p99/p50", "errors"]
    lines = table(heads, _speed_rows(found["contenders"]))
    lines += ["", *_not_measured(found["missing"]), *_derived(found["contenders"])]
    return lines


def _speed_rows(contenders: Found) -> Iterator[list[object]]:
    for figure in FIGURES:
        for name, figures in contenders.items():
            each = figures[figure]
            texts = {
                key: str(Spread.read(each[key]))
                for key in ("per_second", "ratio", "p50_ms", "p99_ms", "p99/p50")
            }
            yield [
                figure,
                name,
                texts["per_second"],
                texts["ratio"],
                _target(figure, name, each["ratio"]["median"]),
                *(texts[key] for key in ("p50_ms", "p99_ms", "p99/p50")),
                each["errors"],
            ]


def _target(figure: str, name: str, ratio: float) -> str:
    who, _, kind = name.partition(", ")
    if who != "chatstore" or figure not in targets.OF_CEILING:
        return ""
    return targets.at_least(ratio, targets.OF_CEILING[figure][kind])


def _derived(contenders: Found) -> list[str]:
    """Return the other promises of the same run: batches, the peer, the tail."""
    rows: list[list[object]] = []
    for kind in KINDS:
        ours, peer = (
            contenders.get(f"{who}, {kind}") for who in ("chatstore", "FastAPI peer")
        )
        if not ours:
            continue
        rate = {figure: ours[figure]["per_second"]["median"] for figure in FIGURES}
        times = BATCH * rate["batch of 100"] / rate["append"]
        verdict = targets.at_least(times, targets.BATCH_OF_SINGLE)
        rows.append([f"messages/s in batches, {kind}", f"{short(times)} ×", verdict])
        for figure in READS if peer else ():
            peers = max(peer[figure]["per_second"]["median"], 1e-9)
            times = rate[figure] / peers
            verdict = targets.at_least(times, targets.OF_PEER)
            what = f"{figure} / of the FastAPI peer, {kind}"
            rows.append([what, f"{short(times)} ×", verdict])
        for figure in FIGURES:
            tail = ours[figure]["p99/p50"]["median"]
            verdict = targets.at_most(tail, targets.P99_OF_P50)
            rows.append([f"p99/p50 of {figure}, {kind}", short(tail), verdict])
    return table(["also", "is", "target"], iter(rows))


def keyed(found: Found) -> list[str]:
    """Return the rates of appends with a key and without: medians and quartiles."""
    heads = ["database", "appends/s", "with a key", "ratio", "target", "errors"]
    return table(heads, (_keyed(*each) for each in found["databases"].items()))


def _keyed(kind: str, found: Found) -> list[object]:
    rates = [
        Quartiles.read(found[key])
        for key in ("plain_per_second", "keyed_per_second", "ratio")
    ]
    verdict = targets.at_least(rates[-1].median, targets.KEYED_OF_PLAIN)
    return [kind, *rates, verdict, found["errors"]]


def feed(found: Found) -> list[str]:
    """Return the rates of appends with the change feed and without."""
    heads = ["database", "appends/s without", "with the feed", "ratio", "target"]
    return _with_and_without(heads, found, targets.WITH_FEED_OF_WITHOUT)


def access(found: Found) -> list[str]:
    """Return the rates of reading a session with an API key and without."""
    heads = ["database", "GET session/s without", "with a key", "ratio", "target"]
    return _with_and_without(heads, found, targets.WITH_API_KEY_OF_WITHOUT)


def _with_and_without(heads: list[str], found: Found, least: float) -> list[str]:
    rows = (_compared(*each, least) for each in found["databases"].items())
    return table([*heads, "errors"], rows)


def _compared(kind: str, found: Found, least: float) -> list[object]:
    rates = [
        Quartiles.read(found[key])
        for key in ("without_per_second", "with_per_second", "ratio")
    ]
    verdict = targets.at_least(rates[-1].median, least)
    return [kind, *rates, verdict, found["errors"]]


def libraries(found: Found) -> list[str]:
    """Return milliseconds per append and read, in short and in long sessions."""
    heads = ["library", "append at 10", "append at 2,000", "grows"]
    heads += ["read all 10", "read all 2,000"]
    rows = (
        [
            name,
            Spread.read(each["10"]["append_ms"]),
            Spread.read(each["2000"]["append_ms"]),
            Spread.read(each["append growth"]),
            Spread.read(each["10"]["read_ms"]),
            Spread.read(each["2000"]["read_ms"]),
        ]
        for name, each in found["arms"].items()
    )
    return [*table(heads, rows), "", *_not_measured(found["missing"])]


def tail(found: Found) -> list[str]:
    """Return the times of appends by eight concurrent writers."""
    arms = found["arms"]
    heads = list(next(iter(arms.values())))
    rows = (
        [name, *(Spread.read(each[head]) for head in heads)]
        for name, each in arms.items()
    )
    return table(["eight writers", *heads], rows)


def growth(found: Found) -> list[str]:
    """Return the ratios that depend on size, by database."""
    lines: list[str] = []
    for kind, figures in found["databases"].items():
        lines += [f"**{kind}**, scale {figures['scale']:g}", ""]
        lines += [*_pairs(figures["pairs"]), ""]
        lines += [*searches(figures["search"]), "", *_costs(figures), ""]
    return lines


def branches(found: Found) -> list[str]:
    """Return the time of a page of each kind of branch, by database."""
    lines: list[str] = []
    for kind, figures in found["databases"].items():
        lines += [f"**{kind}**, scale {figures['scale']:g}", ""]
        lines += [*_pairs(figures["pairs"]), ""]
    return lines


def _pairs(pairs: Found) -> list[str]:
    heads = ["this / that", "this ms", "that ms", "ratio", "target"]
    return table(heads, (_pair(name, each) for name, each in pairs.items()))


def _pair(name: str, each: Found) -> list[object]:
    if "skipped" in each:
        return [name, f"not measured: {each['skipped']}", "", "", ""]
    ratio, most = Spread.read(each["ratio"]), each["most"]
    verdict = targets.at_most(ratio.median, most) if most else ""
    times = [Spread.read(each[key]) for key in ("this_ms", "that_ms")]
    return [name, *times, ratio, verdict]


def searches(search: Found) -> list[str]:
    """Return the time of each search, and its ratio to a LIKE scan."""
    if "skipped" in search:
        return [f"Search was not measured: {search['skipped']}."]
    heads = ["search for", "p50 ms", "p95 ms", "target"]
    heads += ["LIKE scan ms", "faster", "target"]
    scans = {name: Spread.read(each) for name, each in search["scans"].items()}
    return table(heads, _search_rows(search["searches"], scans))


def _search_rows(searches: Found, scans: dict[str, Spread]) -> Iterator[list[object]]:
    for name, each in searches.items():
        if "skipped" in each:
            yield [name, f"not measured: {each['skipped']}", *[""] * 5]
            continue
        p50, p95 = (Spread.read(each[key]) for key in ("this_ms", "this_p95_ms"))
        # A scan reads every row whatever the word, so one scan serves all searches.
        scan = scans.get(name) or scans["a common word"]
        times = scan.median / p50.median
        verdict = targets.at_least(times, targets.FASTER_THAN_SCAN)
        is_quick = targets.at_most(p95.median, targets.SEARCH_P95_MS)
        yield [name, p50, p95, is_quick, scan, f"{short(times)} ×", verdict]


def _costs(figures: Found) -> list[str]:
    return table(["also", "is", "target"], _cost_rows(figures))


def _cost_rows(figures: Found) -> Iterator[list[object]]:
    stream = figures["stream"]
    for key, most in (
        ("first_byte_ms", targets.STREAM_FIRST_BYTE_MS),
        ("worker_grew_mb", targets.STREAM_GROWTH_MB),
    ):
        name = f"streaming the longest session: {key}"
        yield [name, short(stream[key]), targets.at_most(stream[key], most)]
    seconds, size = short(stream["seconds"]), short(stream["bytes"] / 1e6)
    yield ["streaming the longest session: in all", f"{seconds} s for {size} MB", ""]
    deletions = figures["deletions"]
    took = Spread.of(each["seconds"] for each in deletions)
    alone, during = (
        Spread.of(each[f"others_p99_{when}_ms"] for each in deletions)
        for when in ("alone", "during")
    )
    gone = Spread.of(each.get("seconds_until_gone", math.nan) for each in deletions)
    yield ["deleting a large session: seconds to the answer", took, ""]
    yield ["deleting a large session: seconds until all is gone", gone, ""]
    yield [
        "deleting a large session: others' p99 ms meanwhile",
        f"{during}; alone {alone}",
        targets.at_most(during.median, targets.OTHERS_P99_MS),
    ]
    for name, count in figures["statements"].items():
        yield [f"statements: {name}", count, _statements_verdict(name, count)]
    for name, size in figures["bytes"].items():
        shown = short(size) if isinstance(size, float) else size
        yield [f"bytes on disk of a 240-byte message: {name}", shown, ""]


def _statements_verdict(name: str, count: object) -> str:
    if not isinstance(count, int):
        return ""
    is_read = name.startswith(_READ)
    return targets.at_most(count, targets.STATEMENTS["read" if is_read else "write"])


def many(found: Found) -> list[str]:
    """Return the figures of normal load, alone and in the crowd, and of the start."""
    rows = (
        row for kind, each in found["databases"].items() for row in _many(kind, each)
    )
    return table(["figure", "is", "target"], rows)


def _many(kind: str, found: Found) -> Iterator[list[object]]:
    for figure, each in found["normal load"].items():
        alone, among, ratio = (
            Spread.read(each[key]) for key in ("alone_p99_ms", "among_p99_ms", "ratio")
        )
        verdict = targets.at_most(ratio.median, targets.AMONG_OF_ALONE)
        text = f"{among}; alone {alone}; {ratio} ×"
        yield [f"p99 ms of {figure} among many, {kind}", text, verdict]
    errors = sum(each["errors"] for each in found["normal load"].values())
    total = errors + found["troubles"]
    yield [f"errors, {kind}", total, targets.at_most(total, 0)]
    start = found["start"]["seconds_to_first_answer"]
    verdict = targets.at_most(start, targets.START_SECONDS)
    yield [f"seconds from start to first answer, {kind}", short(start), verdict]
    idle = max(found["start"]["idle_worker_mb"])
    yield [f"memory of an idle worker in MB, {kind}", short(idle), ""]


def waiting(found: Found) -> list[str]:
    """Return how soon appends reach those who wait, and normal load among them."""
    rows = (
        row for kind, each in found["databases"].items() for row in _waiting(kind, each)
    )
    return table(["figure", "is", "target"], rows)


def _waiting(kind: str, found: Found) -> Iterator[list[object]]:
    reached = Spread.read(found["seconds until all are reached"])
    verdict = targets.at_most(reached.most, targets.REACHED_SECONDS)
    yield [f"seconds until an append has reached all, {kind}", reached, verdict]
    for figure, each in found["normal load"].items():
        alone, among, ratio, rate = (
            Spread.read(each[key])
            for key in ("alone_p99_ms", "among_p99_ms", "ratio", "among_per_second")
        )
        verdict = targets.at_most(ratio.median, targets.AMONG_WAITING_OF_ALONE)
        text = f"{among}; alone {alone}; {ratio} ×; {rate} a second"
        yield [f"p99 ms of {figure} among waiting clients, {kind}", text, verdict]
    errors = sum(each["errors"] for each in found["normal load"].values())
    total = errors + found["troubles"]
    yield [f"errors, {kind}", total, targets.at_most(total, 0)]


def worst(found: Found) -> list[str]:
    """Return the costs of the worst requests within the limits, to others as well."""
    heads = ["case", "of", "answers", "ms", "all is done, ms"]
    heads += ["others wait at most, ms", "target", "alone, ms", "others failed"]
    heads += ["a process grows, MB"]
    rows = (
        _worst(name, kind, figures[name])
        for name in dict.fromkeys(chain(*found["databases"].values()))
        for kind, figures in found["databases"].items()
        if name in figures
    )
    return table(heads, rows)


def _worst(name: str, kind: str, found: Found) -> list[object]:
    waited = found["others_max_ms"]
    settled = found["settled_ms"]
    return [
        name,
        kind,
        ", ".join(found["answers"]),
        Spread.read(found["ms"]),
        Spread.read(settled) if settled else "",
        ", ".join(f"{what} {short(ms)}" for what, ms in waited.items()),
        targets.at_most(max(waited.values()), targets.OTHERS_MAX_MS),
        short(max(found["others_alone_max_ms"].values())),
        found["others_failed"],
        short(found["grew_mb"]),
    ]


def relevance(found: Found) -> list[str]:
    """Return how well search finds the right texts, by kind of text and database."""
    databases: dict[str, Found] = found["databases"]
    heads = ["texts", "questions"]
    heads += [f"{name}, {kind}" for kind in databases for name in _RELEVANCE]
    lines = table(heads, _relevance_rows(databases))
    for kind, figures in databases.items():
        missed = ", ".join(f"`{text}`" for text in figures["all"]["not answered"])
        lines += ["", f"Without any right text, {kind}: {missed or 'none'}."]
    return lines


def _relevance_rows(databases: dict[str, Found]) -> Iterator[list[object]]:
    for name, first in next(iter(databases.values())).items():
        rates = (each[name][key] for each in databases.values() for key in _RELEVANCE)
        yield [name, first["questions"], *(f"{rate:.3f}" for rate in rates)]


def _not_measured(missing: dict[str, str]) -> list[str]:
    return [f"{name}: not measured: {why}" for name, why in missing.items()] + [""]
