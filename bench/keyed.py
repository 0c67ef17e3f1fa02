"""Compares appends with an Idempotency-Key with plain ones: `python -m bench.keyed`.

The two take turns in many short rounds, and who begins changes from round to round, so
that a busy machine hurts both alike. Ratios are of one round.
"""

import argparse
from typing import Any

from bench.contenders import KEYED, requests_for
from bench.databases import KINDS, Databases, databases
from bench.load import CONNECTIONS, Answers, send
from bench.numbers import Spread, ratios
from bench.results import progress, write_results
from bench.server import running_chatstore

PLAIN = "append"


def measure(
    made: Databases, kind: str, *, rounds: int, seconds: float
) -> dict[str, Any]:
    """Return requests per second of both, their ratio, and the errors."""
    found: dict[str, list[Answers]] = {PLAIN: [], KEYED: []}
    with running_chatstore(database_url=made.new_url(kind)) as server:
        requests = requests_for("chatstore", server.port)
        for number in range(rounds + 1):
            progress(f"keyed, {kind}: round {number} of {rounds}")
            for name in list(found)[:: 1 if number % 2 else -1]:
                answers = send(
                    server.port,
                    requests[name],
                    seconds=seconds,
                    connections=CONNECTIONS,
                )
                found[name].append(answers)
    progress("")
    return summed_up(found[PLAIN][1:], found[KEYED][1:])  # the first one warms


def summed_up(plain: list[Answers], keyed: list[Answers]) -> dict[str, Any]:
    """Return the spreads of rounds that took turns."""
    rates = [[each.per_second for each in rounds] for rounds in (plain, keyed)]
    return {
        "plain_per_second": Spread.of(rates[0]),
        "keyed_per_second": Spread.of(rates[1]),
        "ratio": ratios(rates[1], rates[0]),
        "errors": sum(each.errors for each in [*plain, *keyed]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    with databases() as made:
        found = {
            kind: measure(made, kind, rounds=options.rounds, seconds=options.seconds)
            for kind in KINDS
        }
    for kind, each in found.items():
        print(f"{kind}: {each['ratio']} of {each['plain_per_second']} appends/s")
    write_results("keyed", {"how": vars(options), "databases": found})


if __name__ == "__main__":
    main()
