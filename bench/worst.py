"""The cost to others of the worst allowed requests: `python -m bench.worst`.

Each case gets its own server on a database filled in advance. Measured are the time
of the request, the longest wait of other clients' small requests meanwhile, and the
peak growth of a server process.
"""

import argparse
import http.client
import math
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bench.databases import KINDS, Databases, databases
from bench.fill import Plan, fill
from bench.numbers import Spread
from bench.others import small_requests
from bench.results import progress, read_results, write_results
from bench.server import Running, forget_peak, peak_bytes, running_chatstore
from bench.worst_cases import CASES, Ground, Run, bulk_size

_QUIET_SECONDS = 1.0
# A slow upload is cut off after this time, because the default of a minute is long.
READ_SECONDS = 5


def prepare(
    made: Databases,
    kind: str,
    *,
    rounds: int,
    factor: float = 1,
    names: Collection[str] = CASES,
) -> tuple[str, dict[str, list[Run]]]:
    """Fill a database; return its URL and, by case, the runs of the rounds."""
    url = made.new_url(kind)
    bulk = bulk_size(factor)
    fill(url, Plan(bulk * rounds, bulk * rounds))
    cases: dict[str, list[Run]] = {}
    with running_chatstore(database_url=url) as server:
        ground = Ground(url, server.port, rounds, factor)
        for name in names:
            progress(f"worst, {kind}: filling for {name}")
            if runs := CASES[name](ground):
                cases[name] = runs
    return url, cases


@contextmanager
def serving(url: str, *, read_seconds: int = READ_SECONDS) -> Iterator[Running]:
    """Run the server to measure."""
    with running_chatstore(
        database_url=url, request_read_seconds=read_seconds
    ) as server:
        yield server


def measure_case(server: Running, runs: list[Run]) -> dict[str, Any]:
    """Run the rounds of a case in sequence; return their cost."""
    took: list[float] = []
    settled: list[float] = []
    answers: set[str] = set()
    with small_requests(server.port) as waits:
        time.sleep(_QUIET_SECONDS)
        alone = {name: replace(each, ms=[*each.ms]) for name, each in waits.items()}
        workers = server.workers()
        for pid in workers:
            forget_peak(pid)
        before = {pid: peak_bytes(pid) for pid in workers}
        for run in runs:
            begun = time.perf_counter()
            answers.add(_answer(run, server.port))
            took.append((time.perf_counter() - begun) * 1000)
            if run.settle:
                has_ended = run.settle()
                lasted = (time.perf_counter() - begun) * 1000
                settled.append(lasted if has_ended else math.inf)
    if server.workers() != workers:
        raise RuntimeError("a server process ended")
    return {
        "ms": Spread.of(took),
        "settled_ms": Spread.of(settled) if settled else None,
        "answers": sorted(answers),
        "others_alone_max_ms": {
            name: max(each.ms, default=0.0) for name, each in alone.items()
        },
        "others_max_ms": {
            name: max(each.ms[len(alone[name].ms) :], default=0.0)
            for name, each in waits.items()
        },
        "others_failed": sum(
            each.failed - alone[name].failed for name, each in waits.items()
        ),
        "grew_mb": max(peak_bytes(pid) - before[pid] for pid in workers) / 1e6,
    }


def _answer(run: Run, port: int) -> str:
    try:
        return run.send(port)
    except (OSError, http.client.HTTPException) as error:
        return repr(error)


def measure(
    made: Databases, kind: str, *, rounds: int, factor: float, names: Collection[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each case with its cost on one kind of database."""
    url, cases = prepare(made, kind, rounds=rounds, factor=factor, names=names)
    for name, runs in cases.items():
        progress(f"worst, {kind}: {name}")
        with serving(url) as server:
            found = measure_case(server, runs)
        progress("")
        yield name, found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--database", choices=KINDS, action="append")
    parser.add_argument("--case", help="only cases whose names have this")
    options = parser.parse_args()
    names = [name for name in CASES if (options.case or "") in name]
    how = {"rounds": options.rounds, "scale": options.scale}
    # Keep the figures of other cases if they were measured in the same way.
    before = read_results("worst") or {}
    found = before["databases"] if before.get("how") == how else {}
    with databases() as made:
        for kind in options.database or KINDS:
            kept = found.setdefault(kind, {})
            for name, each in measure(
                made, kind, rounds=options.rounds, factor=options.scale, names=names
            ):
                kept[name] = each
                print(f"{kind:<10} {name:<45} {_shown(each)}", flush=True)
                write_results("worst", {"how": how, "databases": found})


def _shown(found: dict[str, Any]) -> str:
    waited = ", ".join(
        f"{name} {ms:.0f}" for name, ms in found["others_max_ms"].items()
    )
    alone = max(found["others_alone_max_ms"].values())
    settled = f", settled {found['settled_ms']}" if found["settled_ms"] else ""
    return (
        f"{found['ms']} ms{settled}, others at most {waited} (alone {alone:.0f}),"
        f" {found['others_failed']} failed, grew {found['grew_mb']:.1f} MB,"
        f" {', '.join(found['answers'])}"
    )


if __name__ == "__main__":
    main()
