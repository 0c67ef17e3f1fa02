"""Lists of many sessions: contents, order, and query plans."""

import random
import re
from itertools import product

import pytest
from sqlalchemy import event, text

from chatstore.db import db, run_write
from chatstore.enums import Archived, Order, SessionSort
from chatstore.store.filters import FEW, SessionFilters
from chatstore.store.messages import append_message
from chatstore.store.session_lists import SessionListing, count_sessions, list_sessions
from chatstore.store.sessions import create_session, delete_session
from tests.support import on_sqlite, parsed
from tests.support.crowd import fill_sessions

KEYS = {
    SessionSort.LAST_UPDATED_AT: "last_updated_at",
    SessionSort.CREATED_AT: "created_at",
    SessionSort.NAME: "name_folded",
}
FILTERS = [
    SessionFilters(),
    SessionFilters(tag=("often",)),
    SessionFilters(tag=("seldom",)),
    SessionFilters(tag=("often", "other"), model="m2"),
    SessionFilters(tag_any=("seldom", "other"), archived=Archived.ANY),
    SessionFilters(document="d", tag=("often",)),
    SessionFilters(metadata=("team:a",)),
    SessionFilters(metadata=("team:a", "rank:7"), tag=("often",)),
    SessionFilters(external_id="e/7", archived=Archived.ANY),
    SessionFilters(name="CAFE", archived=Archived.YES),
    SessionFilters(pinned=True),
]


def is_match(row, filters):
    tags = set(row["metadata_tags"])
    pairs = [f"{key}:{value}" for key, value in row["metadata"].items()]
    archived = {"true": True, "false": False}.get(filters.archived)
    return (
        set(filters.tag) <= tags
        and (not filters.tag_any or bool(set(filters.tag_any) & tags))
        and filters.document in (None, *row["rag_document_ids"])
        and all(pair in pairs for pair in filters.metadata or ())
        and filters.external_id in (None, row["external_id"])
        and filters.model in (None, row["llm_model_name"])
        and filters.pinned in (None, row["pinned"])
        and archived in (None, row["archived_at"] is not None)
        and (not filters.name or filters.name.lower() in row["name_folded"])
    )


def expected_ids(rows, listing):
    found = [row for row in rows if is_match(row, listing.filters)]
    is_descending = listing.order is Order.DESC
    found.sort(
        key=lambda row: (row[KEYS[listing.sort]], row["id"]), reverse=is_descending
    )
    if listing.pinned_first:
        found.sort(key=lambda row: not row["pinned"])
    return [row["id"] for row in found]


def walk(listing, *, limit, place=None):
    """Return the ids of each page from `place` on, and of the pages back again."""
    pages, backward = [], []
    page = list_sessions(owner_id="alice", limit=limit, listing=listing)
    pages.append([chat.id for chat in parsed(page.items)])
    while page.next_place:
        page = list_sessions(
            owner_id="alice", limit=limit, listing=listing, place=page.next_place
        )
        pages.append([chat.id for chat in parsed(page.items)])
    while page.previous_place:
        page = list_sessions(
            owner_id="alice", limit=limit, listing=listing, place=page.previous_place
        )
        backward.append([chat.id for chat in parsed(page.items)])
    return pages, backward[::-1]


@pytest.mark.parametrize("pinned_first", [False, True])
def test_every_list_is_walked_in_its_order_forward_and_back(db_session, pinned_first):
    rows = fill_sessions(2 * FEW + 400)
    fill_sessions(100, owner_id="bob", seed=1)
    assert sum("often" in row["metadata_tags"] for row in rows) > FEW
    for filters, sort, order in product(FILTERS, SessionSort, Order):
        listing = SessionListing(filters, sort, order, pinned_first)
        expected = expected_ids(rows, listing)
        assert count_sessions(owner_id="alice", filters=filters) == len(expected)
        pages, backward = walk(listing, limit=1500)
        assert sum(pages, []) == expected, listing
        assert sum(backward, []) == expected[: -len(pages[-1]) or None], listing
        for offset in (1, 45, len(expected)):
            page = list_sessions(
                owner_id="alice", limit=5, listing=listing, offset=offset
            )
            found = [chat.id for chat in parsed(page.items)]
            assert found == expected[offset : offset + 5], (listing, offset)


def test_a_walk_during_writes_shows_each_untouched_session_once(db_session):
    rows = fill_sessions(100_000)
    chance = random.Random(2)
    listing = SessionListing(SessionFilters(archived=Archived.ANY))
    seen, touched, place = [], set(), None
    while True:
        page = list_sessions(owner_id="alice", limit=1000, listing=listing, place=place)
        seen += [chat.id for chat in parsed(page.items)]
        if not page.next_place:
            break
        place = page.next_place
        gone, moved = (row["id"] for row in chance.sample(rows, 2))
        if touched.isdisjoint({gone, moved}):
            run_write(delete_session, gone, owner_id="alice")
            run_write(append_message, moved, owner_id="alice", content="x")
            touched |= {gone, moved}
        run_write(create_session, owner_id="alice", llm_model_name="m")
    assert len(seen) == len(set(seen))
    assert len(touched) > 100
    untouched = {row["id"] for row in rows} - touched
    assert untouched <= set(seen) <= {row["id"] for row in rows}


# Query plans

LISTINGS = [
    *(SessionListing(filters) for filters in FILTERS),
    *(SessionListing(filters, pinned_first=True) for filters in FILTERS),
    *(
        SessionListing(sort=sort, order=order)
        for sort in SessionSort
        for order in Order
    ),
    SessionListing(SessionFilters(archived=Archived.ANY)),
    SessionListing(SessionFilters(archived=Archived.YES)),
]


def plans(work):
    """Return the query plan of each SELECT of `work`."""
    sent = []

    def record(connection, cursor, statement, values, *_):
        sent.append((statement, values))

    event.listen(db.engine, "before_cursor_execute", record)
    try:
        work()
    finally:
        event.remove(db.engine, "before_cursor_execute", record)
    is_sqlite = db.engine.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    connection = db.session.connection()
    return [
        [
            str(row[-1])
            for row in connection.exec_driver_sql(f"{explain} {statement}", values)
        ]
        for statement, values in sent
        if statement.startswith("SELECT")
    ]


def test_no_list_reads_a_whole_table(db_session):
    fill_sessions(20_000)
    fill_sessions(20_000, owner_id="bob", seed=1)
    if db.engine.dialect.name == "postgresql":
        # PostgreSQL then scans a table only if no index fits.
        db_session.execute(text("SET enable_seqscan = off"))
    for listing in LISTINGS:
        found = plans(
            lambda listing=listing: list_sessions(
                owner_id="alice", limit=50, listing=listing
            )
        )
        assert len(found) <= 3, listing
        for lines in found:
            scans = [
                line
                for line in lines
                if ("Seq Scan" in line and " on change_feed " not in line)  # one row
                or re.match("SCAN (sessions|session_facets)$", line)
            ]
            assert scans == [], (listing, lines)


@on_sqlite
@pytest.mark.parametrize("pinned_first", [False, True])
@pytest.mark.parametrize(
    "filters",
    [
        SessionFilters(tag=("often", "seldom")),
        SessionFilters(metadata=("team:a", "rank:7")),
    ],
)
def test_the_few_with_a_rare_facet_are_looked_up_one_by_one(
    db_session, filters, pinned_first
):
    fill_sessions(5000)
    listing = SessionListing(filters, pinned_first=pinned_first)
    (*_, lines) = plans(
        lambda: list_sessions(owner_id="alice", limit=50, listing=listing)
    )
    searches = [
        line
        for line in lines
        if line.startswith("SEARCH sessions ")
        and "ix_sessions_changes" not in line  # the last change, for the page's tag
    ]
    assert searches
    assert all(line.endswith("(id=?)") for line in searches), lines


@on_sqlite
def test_common_metadata_is_looked_up_by_key_on_a_walk(db_session):
    fill_sessions(5000)
    listing = SessionListing(SessionFilters(metadata=("team:a",)))
    (*_, lines) = plans(
        lambda: list_sessions(owner_id="alice", limit=50, listing=listing)
    )
    (facets,) = [line for line in lines if "session_facets" in line]
    assert facets.endswith("(session_id=? AND kind=? AND value=?)"), lines
    assert "USE TEMP B-TREE FOR ORDER BY" not in lines


def test_an_external_id_is_looked_up_in_its_index(db_session):
    fill_sessions(5000)
    listing = SessionListing(SessionFilters(external_id="e/7"))
    (*_, lines) = plans(
        lambda: list_sessions(owner_id="alice", limit=50, listing=listing)
    )
    assert any("ix_sessions_external_id" in line for line in lines), lines


def test_sessions_are_looked_up_by_their_ids(db_session):
    rows = fill_sessions(5000)
    wanted = SessionFilters(id=tuple(row["id"] for row in rows[:3]), tag=("often",))
    listing = SessionListing(wanted)
    found = [
        *plans(lambda: list_sessions(owner_id="alice", limit=50, listing=listing)),
        *plans(lambda: count_sessions(owner_id="alice", filters=wanted)),
    ]
    assert len(found) == 2
    for lines in found:
        text = "\n".join(lines)
        if db.engine.dialect.name == "sqlite":
            assert "sessions USING INDEX sqlite_autoindex_sessions_1 (id=?)" in text
        else:
            assert "pk_sessions" in text, text
        assert "ix_sessions_active" not in text, text
