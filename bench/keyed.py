"""Compares appends with an Idempotency-Key with plain ones: `python -m bench.keyed`.

Another program that uses the processor for a second can halve a rate. So the two
kinds alternate every quarter of a second, in many pairs, and the kind that starts
alternates as well. Each pair opens new connections, because the workers may share
connections unevenly.
"""

import argparse
import json
from collections.abc import Callable
from itertools import count
from secrets import token_hex
from typing import Any

from bench.contenders import TEXT, Client
from bench.databases import KINDS, Databases, databases
from bench.load import CONNECTIONS
from bench.numbers import Quartiles
from bench.results import progress, read_results, write_results
from bench.server import running_chatstore
from bench.slices import Slice, connected, send_for

_WARM_SLICES = 4
_BODY = json.dumps({"content": TEXT}).encode()


def measure(
    made: Databases, kind: str, *, pairs: int, seconds: float
) -> dict[str, Any]:
    """Return requests per second of both kinds, their ratio, and the errors."""
    plain: list[Slice] = []
    keyed: list[Slice] = []
    with running_chatstore(database_url=made.new_url(kind)) as server:
        with Client(server.port) as client:
            appends = [
                (found, appending(client, is_keyed=found is keyed))
                for found in (plain, keyed)
            ]
        with connected(server.port, CONNECTIONS) as warming:
            for _, request in appends:
                send_for(warming, request, _WARM_SLICES * seconds)
        for number in range(pairs):
            progress(f"keyed, {kind}: pair {number + 1} of {pairs}")
            with connected(server.port, CONNECTIONS) as connections:
                for found, request in appends[:: -1 if number % 2 else 1]:
                    found.append(send_for(connections, request, seconds))
    progress("")
    return summed_up(plain, keyed)


def appending(client: Client, *, is_keyed: bool) -> Callable[[int], bytes]:
    """Return a function that builds connection n's next append, to its own session."""
    paths = [client.create_session() for _ in range(CONNECTIONS)]
    heads = [
        f"POST {path}/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n"
        for path in paths
    ]
    run, numbers = token_hex(8), count()

    def request(connection: int) -> bytes:
        key = f"Idempotency-Key: {run}-{next(numbers)}\r\n" if is_keyed else ""
        return f"{heads[connection]}{key}\r\n".encode() + _BODY

    return request


def summed_up(plain: list[Slice], keyed: list[Slice]) -> dict[str, Any]:
    """Return medians and quartiles of slices that alternated."""
    rates = [[each.per_second for each in slices] for slices in (plain, keyed)]
    return {
        "plain_per_second": Quartiles.of(rates[0]),
        "keyed_per_second": Quartiles.of(rates[1]),
        "ratio": Quartiles.of(b / a for a, b in zip(*rates, strict=True)),
        "errors": sum(each.errors for each in [*plain, *keyed]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    how = {"pairs": options.pairs, "seconds": options.seconds}
    # One kind takes two minutes, so keep the results of the other.
    before = read_results("keyed") or {}
    found = before["databases"] if before.get("how") == how else {}
    with databases() as made:
        for kind in options.database or KINDS:
            found[kind] = measure(made, kind, **how)
            each = found[kind]
            print(f"{kind}: {each['ratio']} of {each['plain_per_second']} appends/s")
            write_results("keyed", {"how": how, "databases": found})


if __name__ == "__main__":
    main()
