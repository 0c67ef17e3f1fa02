"""Alternates two requests of one client and compares how long they take."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.contenders import Client
from bench.numbers import Spread, percentile
from bench.results import progress
from bench.timing import each_time

ROUNDS, TIMES = 5, 40


class NotThere(Exception):
    """The server lacks this: it is an older version, or its database is small."""


@dataclass(frozen=True)
class Pair:
    """A figure: the ratio of the times of `this` and `that`, and its limit `most`."""

    name: str
    this: Callable[[], Any]
    that: Callable[[], Any]
    most: float | None = None
    times: int = TIMES


def ask(client: Client, path: str) -> Any:
    """Return the JSON answer to a GET; raise NotThere on 400, 404 and 422."""
    return _checked(path, *client.send("GET", path))


def append(client: Client, path: str, text: str) -> None:
    """Append one message to the session at `path`."""
    _checked(path, *client.send("POST", f"{path}/messages", {"content": text}))


def _checked(path: str, status: int, answer: bytes) -> Any:
    if status in (400, 404, 422):
        raise NotThere(f"{status} for {path.partition('?')[0]}")
    if status >= 400:
        raise RuntimeError(f"{path}: {status} {answer[:200]!r}")
    return json.loads(answer)


def compare(pairs: Iterator[Pair], label: str) -> dict[str, dict[str, Any]]:
    """Return figures by name; a pair that fails has its reason in `skipped`."""
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        progress(f"{label}: {pair.name}")
        try:
            found[pair.name] = _compared(pair) | {"most": pair.most}
        except (NotThere, RuntimeError, OSError) as reason:
            found[pair.name] = {"skipped": str(reason), "most": pair.most}
    return found


def _compared(pair: Pair) -> dict[str, Any]:
    rounds = []
    for number in range(ROUNDS + 1):  # round 0 is a warm-up
        run = partial(each_time, times=pair.times if number else 3)
        rounds.append((run(pair.this), run(pair.that)))
    these, those = ([each[n] for each in rounds[1:]] for n in (0, 1))
    return {
        "this_ms": _middle(these),
        "that_ms": _middle(those),
        "this_p95_ms": Spread.of(percentile(each, 95) for each in these),
        "that_p95_ms": Spread.of(percentile(each, 95) for each in those),
        "ratio": Spread.of(
            percentile(this, 50) / percentile(that, 50)
            for this, that in zip(these, those, strict=True)
        ),
    }


def _middle(rounds: list[list[float]]) -> Spread:
    return Spread.of(percentile(each, 50) for each in rounds)
