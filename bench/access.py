"""What an API key costs a read: `python -m bench.access`.

Two servers serve one database, one without logins and one with API keys. Eight
connections read sessions of one owner, in slices that alternate between both servers,
as in `bench.keyed`.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from bench.contenders import Client
from bench.databases import KINDS, Databases, databases
from bench.load import CONNECTIONS
from bench.numbers import Quartiles
from bench.results import progress, read_results, write_results
from bench.server import ROOT, clean_environ, running_chatstore
from bench.slices import Slice, connected, send_for

_WARM_SLICES = 4
_OWNER = "local"  # the owner of what the server without logins creates


def measure(
    made: Databases, kind: str, *, pairs: int, seconds: float
) -> dict[str, Any]:
    """Return reads per second without a key and with one, their ratio, and errors."""
    url = made.new_url(kind)
    with (
        running_chatstore(database_url=url) as without,
        running_chatstore(database_url=url, auth="api-key") as with_key,
    ):
        with Client(without.port) as client:
            paths = [client.create_session(messages=2) for _ in range(CONNECTIONS)]
        header = f"Authorization: Bearer {issue_key(url)}\r\n"
        sides = [
            (without.port, reading(paths, "")),
            (with_key.port, reading(paths, header)),
        ]
        slices: list[list[Slice]] = [[], []]
        for port, request in sides:
            with connected(port, CONNECTIONS) as warming:
                send_for(warming, request, _WARM_SLICES * seconds)
        for number in range(pairs):
            progress(f"access, {kind}: pair {number + 1} of {pairs}")
            for side in (0, 1) if number % 2 else (1, 0):
                port, request = sides[side]
                with connected(port, CONNECTIONS) as connections:
                    slices[side].append(send_for(connections, request, seconds))
    progress("")
    rates = [[each.per_second for each in side] for side in slices]
    return {
        "without_per_second": Quartiles.of(rates[0]),
        "with_per_second": Quartiles.of(rates[1]),
        "ratio": Quartiles.of(b / a for a, b in zip(*rates, strict=True)),
        "errors": sum(each.errors for side in slices for each in side),
    }


def issue_key(url: str) -> str:
    """Return a new key of the owner of the sessions."""
    command = [sys.executable, "-m", "chatstore", "keys", "issue", "--owner", _OWNER]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environ(CHATSTORE_DATABASE_URL=url),
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


def reading(paths: list[str], header: str) -> Callable[[int], bytes]:
    """Return a function that builds connection n's read of its own session."""
    requests = [
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode()
        for path in paths
    ]
    return lambda connection: requests[connection]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    how = {"pairs": options.pairs, "seconds": options.seconds}
    before = read_results("access") or {}
    found = before["databases"] if before.get("how") == how else {}
    with databases() as made:
        for kind in options.database or KINDS:
            found[kind] = measure(made, kind, **how)
            print(f"{kind}: {found[kind]}")
            write_results("access", {"how": how, "databases": found})


if __name__ == "__main__":
    main()
