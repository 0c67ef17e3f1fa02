"""Says within two minutes what has become slower: `python -m bench.quick`.

Compares the ratios to the ceiling with those in bench/figures.json, which `--keep`
writes. It warns but never fails, because a busy machine gives wrong figures.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from bench.contenders import CEILING
from bench.numbers import Spread
from bench.results import print_figures, write_results
from bench.speed import measure, summed_up

KEPT = Path(__file__).parent / "figures.json"
Ratios = dict[str, dict[str, Spread]]


def fallen(kept: Ratios, found: Ratios) -> Iterator[str]:
    """Yield a sentence for each ratio that fell by more than its spread."""
    for name, figures in kept.items():
        for figure, before in figures.items():
            now = found.get(name, {}).get(figure)
            if now is None:
                yield f"{name}, {figure}: was {before}, not measured now"
            elif before.median - now.median > max(_width(before), _width(now)):
                yield f"{name}, {figure}: was {before} of the ceiling, is {now}"


def _width(spread: Spread) -> float:
    return spread.most - spread.least


def read_kept(path: Path = KEPT) -> Ratios:
    """Return the kept ratios; none if there is no file."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text("utf-8"))["ratios"]
    return {
        name: {figure: Spread.read(each) for figure, each in figures.items()}
        for name, figures in kept.items()
    }


def measure_ratios(*, rounds: int, seconds: float) -> Ratios:
    """Return the current ratios of chatstore to the ceiling."""
    found, missing = measure(rounds=rounds, seconds=seconds, with_peers=False)
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    return {
        name: {figure: each["ratio"] for figure, each in figures.items()}
        for name, figures in summed_up(found).items()
        if name != CEILING
    }


def report(found: Ratios, kept: Ratios) -> None:
    """Print all ratios, then those that fell."""
    print_figures(found, "{} of the ceiling".format)
    if not kept:
        print("No figures are kept yet: python -m bench.quick --keep")
        return
    sentences = list(fallen(kept, found))
    print("\n".join(sentences) or "Nothing fell by more than its spread.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--keep", action="store_true", help="keep these figures")
    options = parser.parse_args()
    try:
        found = measure_ratios(rounds=options.rounds, seconds=options.seconds)
    except Exception as error:  # reported only, because the command never fails
        print(f"Not measured: {error!r}")
        return
    report(found, read_kept())
    if options.keep:
        written = {"ratios": found}
        write_results("figures", written, folder=KEPT.parent)


if __name__ == "__main__":
    main()
