"""Whether a page of a branch costs the same however often the conversation branches.

Three sessions of one length: one without branches, one with 1,000 forks, and one whose
messages belong to two branches in turn. Run `python -m bench.branches`.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from bench.contenders import Client
from bench.databases import KINDS, Databases, databases
from bench.fill import Plan, fill
from bench.inside import connection_to
from bench.pairs import TIMES, Pair, ask, compare
from bench.results import write_results
from bench.server import running_chatstore

FORKS = 1000
_STEP = 50_000
_PAGE = "messages?limit=100&order=desc"


def measure(
    made: Databases,
    kind: str,
    *,
    messages: int,
    forks: int = FORKS,
    times: int = TIMES,
) -> dict[str, Any]:
    """Return the times of the last 100 messages of each session, in pairs."""
    url = made.new_url(kind)
    sessions = fill_branches(url, messages, forks)
    with (
        running_chatstore(database_url=url) as server,
        Client(server.port) as client,
    ):
        paths = {name: f"/api/v1/sessions/{id_}" for name, id_ in sessions.items()}
        pairs = (replace(each, times=times) for each in branch_pairs(client, paths))
        return compare(pairs, kind)


def branch_pairs(client: Client, paths: Mapping[str, str]) -> Iterator[Pair]:
    """Yield the pages of branches, compared with those of the session without any."""

    def page(name: str, query: str = "&path=head") -> Callable[[], Any]:
        return partial(ask, client, f"{paths[name]}/{_PAGE}{query}")

    linear = page("linear")
    yield Pair("last page by path / of the log", linear, page("linear", ""), 1.5)
    for name, most in (("1,000 forks", 1.5), ("alternating", None)):
        yield Pair(f"last page, {name} / no fork", page(name), linear, most)
    siblings = page("1,000 forks", "&path=head&siblings=true")
    yield Pair("last page, with siblings / without", siblings, page("1,000 forks"))
    whole = partial(ask, client, f"{paths['1,000 forks']}/path")
    yield Pair("whole path, 1,000 forks / last page", whole, page("1,000 forks"))


def fill_branches(url: str, messages: int, forks: int) -> dict[str, UUID]:
    """Fill the database at `url` with the sessions and return their ids by name."""
    # `fill` names sessions by their length, so each has another one.
    lengths = (messages, messages + 1, messages + 2)
    linear, forked, alternating = fill(url, Plan(3, 3, lengths)).values()
    every = messages // forks
    # Message n * every is another answer to what the message before it answers.
    _set_parents(url, forked, messages, "seq - 2", f"seq % {every} = 0 AND seq > 2")
    parents = "CASE WHEN seq = 2 THEN 0 ELSE seq - 2 END"
    _set_parents(url, alternating, messages + 2, parents, "seq > 1")
    return {"linear": linear, "1,000 forks": forked, "alternating": alternating}


def _set_parents(url: str, session: UUID, last: int, parent: str, where: str) -> None:
    id_ = session.hex if url.startswith("sqlite:") else str(session)
    with connection_to(url) as connection:
        for first in range(1, last + 1, _STEP):
            connection.execute(
                f"UPDATE chat_messages SET parent_seq = {parent}"
                f" WHERE session_id = '{id_}' AND {where}"
                f" AND seq BETWEEN {first} AND {first + _STEP - 1}"
            )
            connection.commit()
        if not url.startswith("sqlite:"):
            connection.autocommit = True
            connection.execute("VACUUM (ANALYZE) chat_messages")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    messages = max(FORKS * 3, round(1_000_000 * options.scale))
    found = {}
    with databases() as made:
        for kind in options.database or KINDS:
            pairs = measure(made, kind, messages=messages)
            found[kind] = {"scale": options.scale, "pairs": pairs}
            print(json.dumps(found[kind], indent=1, default=vars))
            write_results("branches", {"how": {"clients": 1}, "databases": found})


if __name__ == "__main__":
    main()
