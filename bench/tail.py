"""How long appends take with eight concurrent writers: `python -m bench.tail`.

Eight clients append 240-byte messages through a server of two processes, each on its
own connection and to its own session. chatstore promises p99 <= 10 * p50 and no
refusal. For comparison, eight threads of two processes insert the same rows through
the bare driver: polling SQLite's lock, and waiting in chatstore's writer queue.
"""

import argparse
import http.client
import json
import threading
import time
from collections import defaultdict
from itertools import product

from bench import locks
from bench.numbers import Spread, percentile
from bench.results import progress, write_results
from bench.server import running_chatstore

CLIENTS = 8
BODY = json.dumps({"content": "x" * 240}).encode()
HEADERS = {"Content-Type": "application/json"}


def append_for(port: int, path: str, stop_at: float, seconds: list[float]) -> int:
    """Append until `stop_at`; add each time to `seconds` and return the refusals."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    refused = 0
    while time.perf_counter() < stop_at:
        begun = time.perf_counter()
        connection.request("POST", path, BODY, HEADERS)
        response = connection.getresponse()
        response.read()
        seconds.append(time.perf_counter() - begun)
        refused += response.status != 201
    connection.close()
    return refused


def new_session_paths(port: int, count: int) -> list[str]:
    """Create `count` sessions; return the paths to append to."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    paths = []
    for _ in range(count):
        connection.request("POST", "/api/v1/sessions/", b"{}", HEADERS)
        chat = json.loads(connection.getresponse().read())
        paths.append(f"/api/v1/sessions/{chat['id']}/messages")
    connection.close()
    return paths


def run_round(port: int, seconds: float, clients: int) -> locks.Waits:
    """Append over HTTP for `seconds`; return the time of each append."""
    paths = new_session_paths(port, clients)
    times: list[list[float]] = [[] for _ in paths]
    refused = [0] * clients
    stop_at = time.perf_counter() + seconds

    def work(number: int) -> None:
        refused[number] = append_for(port, paths[number], stop_at, times[number])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shares = [len(each) for each in times]
    return locks.Waits(sorted(sum(times, [])), sum(refused), shares)


def describe(waits: locks.Waits, seconds: float) -> dict[str, float]:
    """Return the figures of one round, times in milliseconds."""
    p50, p99 = (percentile(waits.seconds, part) * 1000 for part in (50, 99))
    return {
        "per_second": len(waits.seconds) / seconds,
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": waits.seconds[-1] * 1000,
        "p99/p50": p99 / p50,
        "refused": waits.refused,
        "least/most of a writer": min(waits.shares) / max(waits.shares),
    }


def measure(
    *, rounds: int, seconds: float, clients: int
) -> dict[str, list[dict[str, float]]]:
    """Return the figures of every round of each contender; the contenders alternate."""
    found = defaultdict(list)
    with running_chatstore(workers=2, threads=4) as server:
        run_round(server.port, 1, clients)  # warm up
        for number in range(1, rounds + 1):
            progress(f"tail: round {number} of {rounds}")
            for kind, pause in product(locks.KINDS, locks.PAUSES_MS):
                waits = locks.run_round(kind, pause_ms=pause, seconds=seconds)
                name = f"bare driver, {kind}, {pause} ms between"
                found[name].append(describe(waits, seconds))
            waits = run_round(server.port, seconds, clients)
            found["chatstore over HTTP"].append(describe(waits, seconds))
    progress("")
    return dict(found)


def summed_up(rounds: list[dict[str, float]]) -> dict[str, Spread]:
    """Return the spread of each figure over the rounds."""
    return {name: Spread.of(each[name] for each in rounds) for name in rounds[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    options = parser.parse_args()
    found = measure(**vars(options))
    summary = {arm: summed_up(rounds) for arm, rounds in found.items()}
    for arm, figures in summary.items():
        print(arm)
        for name, spread in figures.items():
            print(f"  {name:<23} {spread}")
    write_results("tail", {"how": vars(options), "arms": summary})


if __name__ == "__main__":
    main()
