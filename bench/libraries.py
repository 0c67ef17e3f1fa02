"""Compares libraries that keep chats with chatstore: `python -m bench.libraries`.

One client sends one message at a time, in sessions of 10 and of 2,000 messages. The
libraries run in the client's process; chatstore still answers over HTTP.
"""

import argparse
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.contenders import PEERS_PYTHON, TEXT, Client
from bench.databases import KINDS, Databases, databases
from bench.langgraph import running_langgraph
from bench.numbers import Spread
from bench.peers.libraries import APPENDS, LIBRARIES, READS, SIZES
from bench.results import progress, write_results
from bench.server import clean_environ, running_chatstore
from bench.timing import timed

Figures = dict[str, dict[str, float]]


@contextmanager
def library(name: str, url: str) -> Iterator[Callable[[], Figures]]:
    """Run a library in a child process; yield a function that measures it once."""
    script = Path(__file__).parent / "peers" / "libraries.py"
    with subprocess.Popen(
        [str(PEERS_PYTHON), str(script), name, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environ(),
        text=True,
    ) as process:
        assert process.stdin and process.stdout and process.stderr

        def measure(line: str = "go\n") -> Figures:
            process.stdin.write(line)
            process.stdin.flush()
            found: Figures = json.loads(process.stdout.readline())
            return found

        if process.stdout.readline() != "ready\n":
            raise RuntimeError(process.stderr.read().strip().rpartition("\n")[2])
        yield measure
        process.stdin.close()


@contextmanager
def chatstore(made: Databases, kind: str) -> Iterator[Callable[[], Figures]]:
    """Run chatstore; yield a function that measures it once, over HTTP."""
    with running_chatstore(database_url=made.new_url(kind)) as server:
        with Client(server.port) as client:
            full = client.create_session(SIZES[-1])

        def measure() -> Figures:
            with Client(server.port) as client:
                return measured(client, client.create_session(SIZES[0]), full)

        yield measure


def measured(client: Client, *paths: str) -> Figures:
    """Append to and read each session; `paths` are in the order of SIZES."""
    return {
        str(size): {
            "append": timed(partial(append, client, path), APPENDS),
            "read": timed(partial(read, client, path), READS),
        }
        for size, path in zip(SIZES, paths, strict=True)
    }


def append(client: Client, path: str) -> None:
    """Append one message."""
    status, answer = client.send("POST", f"{path}/messages", {"content": TEXT})
    if status != 201:
        raise RuntimeError(f"refused: {status} {answer!r}")


def read(client: Client, path: str) -> None:
    """Read the whole session and parse it as JSON."""
    status, answer = client.send("GET", f"{path}/messages")
    if status != 200 or not json.loads(answer)["messages"]:
        raise RuntimeError(f"refused: {status}")


def measure(rounds: int) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Return the figures of every round by name, and the reasons for missing names."""
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        made = stack.enter_context(databases())
        arms = {}
        for name, start in _arms(made).items():
            progress(f"libraries: starting {name}")
            try:
                arms[name] = stack.enter_context(start())
            except (RuntimeError, OSError) as error:
                missing[name] = str(error)
        found: dict[str, list[Figures]] = {name: [] for name in arms}
        for number in range(rounds + 1):  # round 0 is a warm-up
            for name, once in arms.items():
                progress(f"libraries: round {number} of {rounds}, {name}")
                found[name].append(once())
    progress("")
    return {name: each[1:] for name, each in found.items()}, missing


def _arms(made: Databases) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for kind in KINDS:
        arms[f"chatstore over HTTP, {kind}"] = partial(chatstore, made, kind)
        for name in LIBRARIES:
            arms[f"{name}, {kind}"] = partial(library, name, made.new_url(kind))
    return arms | {"LangGraph dev server over HTTP, its own": running_langgraph}


def summed_up(found: dict[str, list[Figures]]) -> dict[str, Any]:
    """Return milliseconds by name, size and figure, and the ratio between the sizes."""
    return {name: _one(rounds) for name, rounds in found.items()}


def _one(rounds: list[Figures]) -> dict[str, Any]:
    small, large = (str(size) for size in SIZES)
    figures: dict[str, Any] = {
        size: {
            f"{what}_ms": Spread.of(each[size][what] * 1000 for each in rounds)
            for what in ("append", "read")
        }
        for size in (small, large)
    }
    growth = (each[large]["append"] / each[small]["append"] for each in rounds)
    return figures | {"append growth": Spread.of(growth)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found, missing = measure(options.rounds)
    summary = summed_up(found)
    for name, each in summary.items():
        print(f"{name}: append growth {each['append growth']}")
        for size in map(str, SIZES):
            print(f"  {size:>5} messages: {_shown(each[size])}")
    for name, reason in missing.items():
        print(f"{name}: not measured: {reason}")
    write_results(
        "libraries", {"how": vars(options), "arms": summary, "missing": missing}
    )


def _shown(figures: dict[str, Spread]) -> str:
    return ", ".join(f"{name} {spread}" for name, spread in figures.items())


if __name__ == "__main__":
    main()
