"""Whether speed stays the same as history grows: `python -m bench.growth`.

Each kind of database is filled three times: with realistic chats, with many sessions
of which one is very long, and small for comparison. `--scale 0.01` divides all sizes
by a hundred.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

from bench.contenders import TEXT, Client
from bench.databases import KINDS, Databases, databases
from bench.deletion import measure_deletion
from bench.fill import RARE_TAG, Plan, fill
from bench.inprocess import append_pair, application, count_statements
from bench.inside import bytes_by_table, is_of_search, scan_ms
from bench.numbers import Spread
from bench.pairs import NotThere, Pair, append, ask, compare
from bench.results import progress, read_results, write_results
from bench.server import Running, running_chatstore
from bench.streams import measure_stream
from bench.texts import COMMON, PHRASE, RARE, Texts

_SESSIONS = "/api/v1/sessions/"
_DELETED = 100_000
_DELETIONS = 3
_SIZED = 20_000


@dataclass(frozen=True)
class Filled:
    """A filled database and a server running on it."""

    url: str
    server: Running
    long_session: str
    sessions: int

    def client(self) -> Client:
        """Connect to the server."""
        return Client(self.server.port)


@dataclass(frozen=True)
class Scale:
    """The sizes of the databases and of the pages."""

    chats: Plan
    large: Plan
    small: Plan
    deleted: int
    sized: int
    page: int

    @classmethod
    def of(cls, factor: float) -> "Scale":
        """Return the sizes that the documentation promises, times `factor`."""
        million = max(1000, round(1_000_000 * factor))
        return cls(
            chats=Plan(million // 10, million),
            large=Plan(million, 0, (million,)),
            small=Plan(min(1000, million // 10), min(10_000, million)),
            deleted=max(100, round(_DELETED * factor)),
            sized=max(1000, min(_SIZED, million)),
            page=max(10, round(10_000 * factor)),
        )


def measure(made: Databases, kind: str, scale: Scale) -> dict[str, Any]:
    """Return all growth figures for one kind of database."""
    with ExitStack() as stack:
        start = partial(_filled, stack, made, kind)
        chats, large, small = map(start, (scale.chats, scale.large, scale.small))
        found: dict[str, Any] = {
            "pairs": compare(growth_pairs(stack, large, small, page=scale.page), kind)
            | compare(list_pairs(stack, chats, page=scale.page), kind)
            | compare(search_pairs(stack, chats, small), kind),
            "search": search_figures(stack, chats, kind),
        }
        progress(f"{kind}: streaming")
        found["stream"] = measure_stream(large.server, large.long_session)
        progress(f"{kind}: deleting")
        found["deletions"] = [
            measure_deletion(large.server.port, large.url, scale.deleted)
            for _ in range(_DELETIONS)
        ]
        progress(f"{kind}: statements")
        found["statements"] = count_statements(small.url)
        with application(small.url) as app:
            text = Texts(scale.sized, seed=2).of_length(240)
            found["pairs"] |= compare(iter([append_pair(app, text)]), kind)
    try:
        found["bytes"] = measure_bytes(made, kind, scale.sized)
    except NotThere as reason:
        found["bytes"] = {"skipped": str(reason)}
    progress("")
    return found


def _filled(stack: ExitStack, made: Databases, kind: str, plan: Plan) -> Filled:
    progress(f"{kind}: filling {plan}\n")
    url = made.new_url(kind)
    long_ids = list(fill(url, plan).values())
    server = stack.enter_context(running_chatstore(database_url=url))
    long_session = f"{_SESSIONS}{(long_ids or [UUID(int=0)])[0]}"
    return Filled(url, server, long_session, plan.sessions)


def growth_pairs(
    stack: ExitStack, large: Filled, small: Filled, *, page: int
) -> Iterator[Pair]:
    """Yield pairs whose ratio must not depend on the amount of data."""
    big = stack.enter_context(large.client())
    little = stack.enter_context(small.client())
    one, new, far = (c.create_session() for c in (big, big, little))
    total = ask(big, large.long_session)["message_count"]
    write = partial(append, big, large.long_session, TEXT)
    yield Pair("append to the longest / to a new one", write, _append(big, new), 1.2)
    yield Pair("append to the longest / in a small db", write, _append(little, far))
    pages = f"{large.long_session}/messages?limit=100"
    middle = partial(ask, big, f"{pages}&after={total // 2}")
    yield Pair("page in the middle / first", middle, partial(ask, big, pages), 1.2)
    yield Pair("get session", partial(ask, big, one), partial(ask, little, far), 1.2)
    first = f"{_SESSIONS}?limit=50"
    yield Pair(
        "first page of sessions, all / of 1,000",
        partial(ask, big, first),
        partial(ask, little, first),
        1.5,
    )
    yield _deep_page(big, page, "page 10,000 of all sessions / first")


def list_pairs(stack: ExitStack, chats: Filled, *, page: int) -> Iterator[Pair]:
    """Yield session lists by filter, order and page, compared with a plain list."""
    client = stack.enter_context(chats.client())
    page = min(page, chats.sessions // 10)
    yield _deep_page(client, page, "page 10,000 of sessions / first")
    plain = partial(ask, client, f"{_SESSIONS}?limit=50")
    for name, query in {
        "by a common tag": "tag=work",
        "by a rare tag": f"tag={RARE_TAG}",
        "by two tags": "tag=work&tag=code",
        "by any of two tags": "tag_any=work&tag_any=code",
        "by a common model": "model=gpt-4o-mini",
        "by a rare model": "model=qwen-2-72b",
        "sorted by name": "sort=name&order=asc",
        "pinned first": "pinned_first=true",
        "with count": "count=true",
    }.items():
        path = f"{_SESSIONS}?limit=50&{query}"
        most = None if "count" in name else 2.0
        yield Pair(f"sessions {name} / all", partial(ask, client, path), plain, most)


def search_pairs(stack: ExitStack, chats: Filled, small: Filled) -> Iterator[Pair]:
    """Yield the search for a word in ten messages: among a million / among 10,000."""
    big, little = (stack.enter_context(each.client()) for each in (chats, small))
    path = f"/api/v1/search?q={RARE}"
    yield Pair(
        "search a rare word / in 10,000 messages",
        partial(ask, big, path),
        partial(ask, little, path),
        3.0,
    )


def search_figures(stack: ExitStack, chats: Filled, kind: str) -> dict[str, Any]:
    """Return the times of each search and of the LIKE scans."""
    client = stack.enter_context(chats.client())
    try:
        hits = ask(client, f"/api/v1/search?q={COMMON}")["hits"]
    except NotThere as reason:
        return {"skipped": str(reason)}
    within = f"{COMMON}&session_id={hits[0]['session_id']}" if hits else COMMON
    searches = {
        "a rare word": RARE,
        "a common word": COMMON,
        "two words": quote(PHRASE),
        "a phrase": quote(f'"{PHRASE}"'),
        "within one session": within,
        "the newest of a common word": f"{COMMON}&sort=newest",
    }
    scans: dict[str, Spread] = {}
    for name, word in (("a rare word", RARE), ("a common word", COMMON)):
        progress(f"{kind}: LIKE scan for {name}")
        scans[name] = Spread.of(scan_ms(chats.url, word))
    pairs = (
        Pair(name, *[partial(ask, client, f"/api/v1/search?q={query}")] * 2)
        for name, query in searches.items()
    )
    found = compare(pairs, kind)
    return {"searches": found, "scans": scans}


def measure_bytes(made: Databases, kind: str, messages: int) -> dict[str, float]:
    """Return the bytes on disk of one 240-byte message, by purpose."""
    url, texts = made.new_url(kind), Texts(messages, seed=3)
    with running_chatstore(database_url=url) as server, Client(server.port) as client:
        before = bytes_by_table(url)
        for _ in range(0, messages, 100):
            path = client.create_session()
            turns = [{"content": texts.of_length(240)} for _ in range(100)]
            client.send("POST", f"{path}/messages/batch", {"messages": turns})
        after = bytes_by_table(url)
    grown = {name: size - before.get(name, 0) for name, size in after.items()}
    search = sum(size for name, size in grown.items() if is_of_search(name))
    stored = sum(grown.values())
    return {
        "with search": stored / messages,
        "without search": (stored - search) / messages,
        "search index": search / messages,
    }


def _append(client: Client, path: str) -> partial[None]:
    return partial(append, client, path, TEXT)


def _deep_page(client: Client, page: int, name: str) -> Pair:
    first = f"{_SESSIONS}?limit=10"
    cursor = _cursor_after(client, (page - 1) * 10)
    deep = f"{first}&cursor={quote(cursor)}"
    return Pair(name, partial(ask, client, deep), partial(ask, client, first), 1.5)


def _cursor_after(client: Client, sessions: int) -> str:
    """Page through `sessions` sessions; return the cursor to the next page."""
    path, cursor = f"{_SESSIONS}?limit=", ""
    while sessions > 0:
        step = min(1000, sessions)
        after = f"&cursor={quote(cursor)}" if cursor else ""
        cursor = ask(client, f"{path}{step}{after}")["next_cursor"] or ""
        sessions -= step
    return cursor


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--database", choices=KINDS, action="append")
    options = parser.parse_args()
    # One kind takes 15 minutes or more, so keep the results of the other.
    found = (read_results("growth") or {"databases": {}})["databases"]
    with databases() as made:
        for kind in options.database or KINDS:
            measured = measure(made, kind, Scale.of(options.scale))
            found[kind] = {"scale": options.scale} | measured
            print(json.dumps(found[kind], indent=1, default=vars))
            write_results("growth", {"how": {"clients": 1}, "databases": found})


if __name__ == "__main__":
    main()
