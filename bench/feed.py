"""What the change feed costs an append: `python -m bench.feed`.

Two servers run on two databases, one of them without the trigger and the index that
number each change of a session. Eight connections append to sessions of one owner, in
slices that alternate between both, as in `bench.keyed`.
"""

import argparse
from typing import Any

from sqlalchemy import Engine, create_engine

from bench.contenders import Client
from bench.databases import KINDS, SQLITE, Databases, databases
from bench.keyed import appending
from bench.load import CONNECTIONS
from bench.numbers import Quartiles
from bench.results import progress, read_results, write_results
from bench.server import Running, running_chatstore
from bench.slices import Slice, connected, send_for

_WARM_SLICES = 4
_TRIGGER = {
    True: "DROP TRIGGER sessions_updated",
    False: "ALTER TABLE sessions DISABLE TRIGGER sessions_changed",
}


def measure(
    made: Databases, kind: str, *, pairs: int, seconds: float
) -> dict[str, Any]:
    """Return appends per second without the feed and with it, ratio and errors."""
    urls = [made.new_url(kind) for _ in range(2)]
    with (
        running_chatstore(database_url=urls[0]) as without,
        running_chatstore(database_url=urls[1]) as with_feed,
    ):
        _take_feed_away(create_engine(urls[0]), is_sqlite=kind == SQLITE)
        sides = [(server, _appends(server)) for server in (without, with_feed)]
        slices: list[list[Slice]] = [[], []]
        for server, request in sides:
            with connected(server.port, CONNECTIONS) as warming:
                send_for(warming, request, _WARM_SLICES * seconds)
        for number in range(pairs):
            progress(f"feed, {kind}: pair {number + 1} of {pairs}")
            for side in (0, 1) if number % 2 else (1, 0):
                server, request = sides[side]
                with connected(server.port, CONNECTIONS) as connections:
                    slices[side].append(send_for(connections, request, seconds))
    progress("")
    rates = [[each.per_second for each in side] for side in slices]
    return {
        "without_per_second": Quartiles.of(rates[0]),
        "with_per_second": Quartiles.of(rates[1]),
        "ratio": Quartiles.of(b / a for a, b in zip(*rates, strict=True)),
        "errors": sum(each.errors for side in slices for each in side),
    }


def _appends(server: Running) -> Any:
    with Client(server.port) as client:
        return appending(client, is_keyed=False)


def _take_feed_away(engine: Engine, *, is_sqlite: bool) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(_TRIGGER[is_sqlite])
        connection.exec_driver_sql("DROP INDEX ix_sessions_changes")
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    how = {"pairs": options.pairs, "seconds": options.seconds}
    before = read_results("feed") or {}
    found = before["databases"] if before.get("how") == how else {}
    with databases() as made:
        for kind in options.database or KINDS:
            found[kind] = measure(made, kind, **how)
            print(f"{kind}: {found[kind]['ratio']}")
            write_results("feed", {"how": how, "databases": found})


if __name__ == "__main__":
    main()
