"""Compares the API with bare Flask and the peers: `python -m bench.speed`.

Every round measures every figure of every contender, the ceiling first, and changes
the order of the others. A ratio compares figures of the same round.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from bench.contenders import CEILING, FIGURES, contenders, requests_for
from bench.databases import databases
from bench.load import CONNECTIONS, Answers, Request, has_wrk, send
from bench.numbers import Spread, ratios
from bench.results import print_figures, progress, write_results

Rounds = dict[str, dict[str, list[Answers]]]


def measure(
    *, rounds: int, seconds: float, with_peers: bool, figures: Sequence[str] = FIGURES
) -> tuple[Rounds, dict[str, str]]:
    """Return the answers by contender and figure, and the reasons for missing ones."""
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        made = stack.enter_context(databases())
        ports: dict[str, int] = {}
        requests: dict[str, dict[str, Request]] = {}
        for each in contenders(made, with_peers=with_peers):
            progress(f"speed: starting {each.name}")
            try:
                ports[each.name] = stack.enter_context(each.start()).port
                requests[each.name] = requests_for(each.name, ports[each.name])
            except (RuntimeError, OSError) as error:
                missing[each.name] = str(error)
        found: Rounds = {name: {f: [] for f in figures} for name in requests}
        for name in requests:  # warm up: caches, compiled statements, connections
            for figure in figures:
                send(ports[name], requests[name][figure], seconds=1, connections=8)
        for number in range(rounds):
            _run_round(found, ports, requests, number=number, seconds=seconds)
    progress("")
    return found, missing


def _run_round(
    found: Rounds,
    ports: dict[str, int],
    requests: dict[str, dict[str, Request]],
    *,
    number: int,
    seconds: float,
) -> None:
    names = list(requests)
    turned = names[number % len(names) :] + names[: number % len(names)]
    for figure in found[names[0]]:
        for name in turned:
            progress(f"speed: round {number + 1}, {figure}, {name}")
            answers = send(
                ports[name],
                requests[name][figure],
                seconds=seconds,
                connections=CONNECTIONS,
            )
            found[name][figure].append(answers)


def summed_up(found: Rounds) -> dict[str, dict[str, Any]]:
    """Return spreads of figures and of their ratios, by contender and figure."""
    return {
        name: {f: _one(rounds, found[CEILING][f]) for f, rounds in figures.items()}
        for name, figures in found.items()
    }


def _one(rounds: list[Answers], ceiling: list[Answers]) -> dict[str, Any]:
    per_second = [each.per_second for each in rounds]
    spreads = {
        name: Spread.of(getattr(each, name) for each in rounds)
        for name in ("per_second", "p50_ms", "p99_ms", "max_ms")
    }
    return spreads | {
        "ratio": ratios(per_second, [each.per_second for each in ceiling]),
        "p99/p50": Spread.of(each.p99_ms / each.p50_ms for each in rounds),
        "errors": sum(each.errors for each in rounds),
        "rounds": [asdict(each) for each in rounds],
    }


def _shown(each: dict[str, Any]) -> str:
    return (
        f"{each['per_second']} /s, ratio {each['ratio']}, p99/p50 {each['p99/p50']},"
        f" errors {each['errors']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--without-peers", action="store_true")
    options = parser.parse_args()
    found, missing = measure(
        rounds=options.rounds,
        seconds=options.seconds,
        with_peers=not options.without_peers,
    )
    summary = summed_up(found)
    print_figures(summary, _shown)
    for name, reason in missing.items():
        print(f"{name:<26} not measured: {reason}")
    how = vars(options) | {"load": "wrk" if has_wrk() else "Locust"}
    write_results("speed", {"how": how, "contenders": summary, "missing": missing})


if __name__ == "__main__":
    main()
