"""How long appends take when many write at once: `python -m bench.tail`.

Eight clients, each on a connection of its own, append 240-byte messages to sessions
of their own through a server of two processes. Prints the median and the 99th
percentile of several rounds; chatstore promises that p99 is at most ten times p50,
and no refusal.
"""

import argparse
import http.client
import json
import statistics
import threading
import time

from bench.server import running_server

CLIENTS = 8
BODY = json.dumps({"content": "x" * 240}).encode()
HEADERS = {"Content-Type": "application/json"}


def append_for(port: int, path: str, stop_at: float, seconds: list[float]) -> int:
    """Append until `stop_at`, adding the time of each to `seconds`; return refusals."""
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


def run_round(port: int, seconds: float, clients: int) -> tuple[list[float], int]:
    """Return the times of all appends of a round, in seconds, and the refusals."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    paths = []
    for _ in range(clients):
        connection.request("POST", "/api/v1/sessions/", b"{}", HEADERS)
        chat = json.loads(connection.getresponse().read())
        paths.append(f"/api/v1/sessions/{chat['id']}/messages")
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
    return sorted(sum(times, [])), sum(refused)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    options = parser.parse_args()
    ratios = []
    with running_server(workers=2, threads=4) as port:
        run_round(port, 1, options.clients)  # warm
        for number in range(1, options.rounds + 1):
            times, refused = run_round(port, options.seconds, options.clients)
            p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
            ratios.append(p99 / p50)
            print(
                f"round {number}: {len(times) / options.seconds:6.0f} appends/s,"
                f" p50 {p50:6.2f} ms, p99 {p99:6.2f} ms,"
                f" max {times[-1] * 1000:6.1f} ms, p99/p50 {ratios[-1]:4.1f},"
                f" refused {refused}"
            )
    print(
        f"p99/p50: median {statistics.median(ratios):.1f}"
        f" ({min(ratios):.1f} to {max(ratios):.1f})"
    )


if __name__ == "__main__":
    main()
