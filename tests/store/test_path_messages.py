import random
from dataclasses import replace
from uuid import UUID

import pytest

from chatstore.db import db, run_write
from chatstore.enums import Order, Role
from chatstore.errors import NotFound, TooManyForks
from chatstore.store.messages import CHUNK_BYTES, CHUNK_MESSAGES, append_message
from chatstore.store.path_messages import (
    HEAD,
    LISTING_BOUNDS,
    BranchRange,
    ListingBounds,
    list_branch,
)
from chatstore.store.paths import WalkBounds
from chatstore.store.sessions import delete_session, update_session
from tests.support import MISSING_ID, parsed
from tests.support.statements import MOST_TO_READ, statements_of_read
from tests.support.trees import plant, random_parents, siblings_of, walked

MINE = {"owner_id": "alice"}
# 1 2 3 4, then 5 follows 2, then 6 7; 8 follows 4; 9 begins the conversation again.
TREE = [None, None, None, None, 2, None, None, 4, 0]
ROLES = (Role.TOOL, Role.USER)  # even seqs are of the tool
SMALL = ListingBounds(
    walk=WalkBounds(forks_per_statement=2), messages_per_chunk=3, siblings_each_side=2
)


@pytest.fixture
def tree(db_session):
    (chat_id,) = plant([TREE], roles=ROLES)
    return chat_id


def chunks_of(chat_id, *, bounds=LISTING_BOUNDS, between=lambda: None, **wanted):
    """Return every chunk of a listing; call `between` after each but the last."""
    chunks, rest = [], BranchRange(**wanted)
    while rest is not None:
        if chunks:
            between()
        chunks.append(list_branch(chat_id, wanted=rest, bounds=bounds, **MINE))
        rest = chunks[-1].rest
    return chunks


def listed(chat_id, **wanted):
    """Return the seqs of all chunks, and `has_more` of the last."""
    chunks = chunks_of(chat_id, **wanted)
    assert not any(chunk.has_more for chunk in chunks[:-1])
    seqs = [each.seq for chunk in chunks for each in parsed(chunk.messages)]
    assert seqs == [seq for chunk in chunks for seq in chunk.seqs]
    return seqs, chunks[-1].has_more


# Paths


@pytest.mark.parametrize("bounds", [LISTING_BOUNDS, SMALL])
@pytest.mark.parametrize(
    ("wanted", "seqs", "has_more"),
    [
        ({"path": 7}, [1, 2, 5, 6, 7], False),
        ({"path": HEAD}, [9], False),
        ({"path": 4}, [1, 2, 3, 4], False),
        ({"path": 7, "limit": 2}, [1, 2], True),
        ({"path": 7, "limit": 3}, [1, 2, 5], True),
        ({"path": 7, "limit": 5}, [1, 2, 5, 6, 7], False),
        ({"path": 7, "limit": 6}, [1, 2, 5, 6, 7], False),
        ({"path": 7, "after": 2}, [5, 6, 7], False),
        ({"path": 7, "after": 3, "limit": 1}, [5], True),
        ({"path": 7, "before": 6}, [1, 2, 5], False),
        ({"path": 7, "before": 4}, [1, 2], False),
        ({"path": 7, "after": 1, "before": 6}, [2, 5], False),
        ({"path": 7, "after": 7}, [], False),
        ({"path": 7, "after": 99}, [], False),
        ({"path": 7, "before": 1}, [], False),
        ({"path": 7, "before": 0}, [], False),
        ({"path": 7, "before": 2**53 - 1}, [1, 2, 5, 6, 7], False),
        ({"path": 7, "order": Order.DESC}, [7, 6, 5, 2, 1], False),
        ({"path": 7, "order": Order.DESC, "limit": 4}, [7, 6, 5, 2], True),
        ({"path": 7, "order": Order.DESC, "limit": 5}, [7, 6, 5, 2, 1], False),
        ({"path": 7, "order": Order.DESC, "before": 5, "limit": 1}, [2], True),
        ({"path": 7, "order": Order.DESC, "after": 2, "limit": 9}, [7, 6, 5], False),
        ({"path": 8, "role": Role.TOOL}, [2, 4, 8], False),
        ({"path": 8, "role": Role.TOOL, "limit": 2}, [2, 4], True),
        ({"path": 8, "role": Role.TOOL, "limit": 3}, [2, 4, 8], False),
        ({"path": 8, "role": Role.TOOL, "limit": 1, "after": 4}, [8], False),
        ({"path": 8, "role": Role.TOOL, "order": Order.DESC}, [8, 4, 2], False),
        ({"path": 8, "role": Role.SYSTEM}, [], False),
        ({"path": 8, "role": Role.SYSTEM, "limit": 1}, [], False),
    ],
    ids=str,
)
def test_a_path_lists_what_lies_on_it(tree, bounds, wanted, seqs, has_more):
    assert listed(tree, bounds=bounds, **wanted) == (seqs, has_more)


@pytest.mark.parametrize("order", Order)
def test_a_listing_of_chunks_is_complete(db_session, order):
    chance = random.Random(7)
    parents = random_parents(chance, 3 * CHUNK_MESSAGES)
    (chat_id,) = plant([parents], roles=ROLES)
    for head in (1, 2 * CHUNK_MESSAGES, 3 * CHUNK_MESSAGES):
        expected = walked(parents, head)[:: 1 if order is Order.ASC else -1]
        assert listed(chat_id, path=head, order=order) == (expected, False)
        tools = [seq for seq in expected if seq % 2 == 0]
        found = listed(chat_id, path=head, order=order, role=Role.TOOL, bounds=SMALL)
        assert found == (tools, False)
        some = listed(chat_id, path=head, order=order, role=Role.TOOL, limit=9)
        assert some == (tools[:9], len(tools) > 9)


@pytest.mark.parametrize("order", Order)
def test_a_long_path_is_listed_in_chunks(db_session, order):
    size = 2 * CHUNK_MESSAGES
    parents = [None, 0, *range(1, 2 * size - 1)]  # two branches that alternate
    (chat_id,) = plant([parents])
    chunks = chunks_of(chat_id, path=HEAD, order=order)
    assert [len(chunk.messages) for chunk in chunks] == [CHUNK_MESSAGES] * 2
    seqs = [seq for chunk in chunks for seq in chunk.seqs]
    assert sorted(seqs) == list(range(2, 2 * size + 1, 2))
    assert listed(chat_id, path=HEAD, order=order, limit=CHUNK_MESSAGES + 7) == (
        seqs[: CHUNK_MESSAGES + 7],
        True,
    )


def test_a_chunk_of_a_path_ends_after_so_many_characters(db_session, make_session):
    chat = make_session(owner_id="alice")
    large = "x" * (CHUNK_BYTES + 1)
    for place in ({}, {}, {"parent_seq": 1}, {"parent_seq": 1}, {}):
        run_write(append_message, chat.id, content=large, **place, **MINE)
    for order, seqs in ((Order.ASC, [[1], [4], [5]]), (Order.DESC, [[5], [4], [1]])):
        chunks = chunks_of(chat.id, path=HEAD, order=order)
        assert [list(chunk.seqs) for chunk in chunks] == seqs
        some = chunks_of(chat.id, path=HEAD, order=order, limit=2)
        assert [list(chunk.seqs) for chunk in some] == seqs[:2]
        assert some[-1].has_more


@pytest.mark.parametrize("order", Order)
def test_a_listing_keeps_its_path_while_the_head_moves(db_session, order):
    (chat_id,) = plant([[None] * (CHUNK_MESSAGES + 5)])

    def move():
        run_write(append_message, chat_id, content="x", parent_seq=1, **MINE)

    chunks = chunks_of(chat_id, path=HEAD, order=order, between=move)
    seqs = [seq for chunk in chunks for seq in chunk.seqs]
    assert sorted(seqs) == list(range(1, CHUNK_MESSAGES + 6))
    assert listed(chat_id, path=HEAD) == ([1, CHUNK_MESSAGES + 6], False)


def test_an_empty_session_has_nothing_on_its_path(db_session):
    (chat_id,) = plant([[]])
    assert listed(chat_id, path=HEAD, siblings=True) == ([], False)


def test_the_branch_that_is_shown_can_be_switched(tree):
    run_write(update_session, tree, changes={"head_seq": 7}, **MINE)
    assert listed(tree, path=HEAD) == ([1, 2, 5, 6, 7], False)
    run_write(append_message, tree, content="x", **MINE)
    assert listed(tree, path=HEAD) == ([1, 2, 5, 6, 7, 10], False)


@pytest.mark.parametrize(
    "wanted",
    [
        {"path": HEAD},
        {"path": 2},
        {"path": 99},
        {"around": 2, "limit": 3},
        {"around": 99, "limit": 3, "path": HEAD},
        {"siblings": True},
    ],
    ids=str,
)
def test_somebody_elses_branches_are_not_found(tree, wanted):
    texts = set()
    for chat_id in (tree, UUID(MISSING_ID)):
        with pytest.raises(NotFound) as error:
            list_branch(chat_id, owner_id="bob", wanted=BranchRange(**wanted))
        texts.add(str(error.value).replace(str(chat_id), ""))
    assert len(texts) == 1


def test_a_path_whose_session_is_deleted_on_the_way_is_not_found(db_session):
    (chat_id,) = plant([[None] * (CHUNK_MESSAGES + 1)])
    with pytest.raises(NotFound):
        chunks_of(
            chat_id,
            path=HEAD,
            between=lambda: run_write(delete_session, chat_id, **MINE),
        )


def test_a_path_of_too_many_forks_can_be_paged_from_its_head(db_session):
    (chat_id,) = plant([[None, 0, *range(1, 39)]])  # 2, 4 … 40, all of them forks
    walk = WalkBounds(forks_per_statement=2, max_forks=6)
    bounds = replace(LISTING_BOUNDS, walk=walk)
    with pytest.raises(TooManyForks):
        chunks_of(chat_id, path=HEAD, bounds=bounds)
    with pytest.raises(TooManyForks):
        chunks_of(chat_id, path=HEAD, before=10, order=Order.DESC, bounds=bounds)
    seqs, wanted = [], {"path": HEAD}
    while True:
        (page,) = chunks_of(chat_id, order=Order.DESC, limit=3, bounds=bounds, **wanted)
        seqs += page.seqs
        if not page.has_more:
            break
        wanted = {"path": seqs[-1], "before": seqs[-1]}
    assert seqs == list(range(40, 0, -2))


# Windows


@pytest.mark.parametrize(
    ("wanted", "seqs", "has_more"),
    [
        ({"around": 5, "limit": 3}, [4, 5, 6], True),
        ({"around": 5, "limit": 4}, [4, 5, 6, 7], True),
        ({"around": 5, "limit": 1}, [5], True),
        ({"around": 1, "limit": 5}, [1, 2, 3], True),
        ({"around": 9, "limit": 5}, [7, 8, 9], False),
        ({"around": 8, "limit": 3}, [7, 8, 9], False),
        ({"around": 5, "limit": 99}, list(range(1, 10)), False),
        ({"around": 2, "limit": 3, "order": Order.DESC}, [3, 2, 1], False),
        ({"around": 3, "limit": 3, "order": Order.DESC}, [4, 3, 2], True),
        ({"around": 9, "limit": 3, "order": Order.DESC}, [9, 8], True),
        ({"around": 5, "limit": 3, "path": 7}, [2, 5, 6], True),
        ({"around": 6, "limit": 5, "path": 7}, [2, 5, 6, 7], False),
        ({"around": 2, "limit": 5, "path": 7}, [1, 2, 5, 6], True),
        ({"around": 5, "limit": 3, "path": 7, "order": Order.DESC}, [6, 5, 2], True),
        ({"around": 2, "limit": 3, "path": 7, "order": Order.DESC}, [5, 2, 1], False),
        ({"around": 9, "limit": 3, "path": HEAD}, [9], False),
    ],
    ids=str,
)
def test_a_window_has_as_many_before_as_after(tree, wanted, seqs, has_more):
    for bounds in (LISTING_BOUNDS, SMALL):
        assert listed(tree, bounds=bounds, **wanted) == (seqs, has_more)


@pytest.mark.parametrize("order", Order)
def test_a_large_window_is_listed_in_chunks(db_session, order):
    (chat_id,) = plant([[None] * (3 * CHUNK_MESSAGES)])
    middle, limit = CHUNK_MESSAGES + 100, 2 * CHUNK_MESSAGES - 1
    first = middle - CHUNK_MESSAGES + 1
    seqs = list(range(first, first + limit))[:: 1 if order is Order.ASC else -1]
    found = listed(chat_id, around=middle, limit=limit, order=order)
    assert found == (seqs, True)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"around": 10}, "no message 10 in .*last seq is 9"),
        ({"around": 2**53 - 1, "path": 7}, r"no message \d+ in .*last seq is 9"),
        ({"around": 3, "path": 7}, "Message 3 .* not on this path"),
        ({"around": 8, "path": 7}, "Message 8 .* not on this path"),
        ({"around": 1, "path": HEAD}, "Message 1 .* not on this path"),
    ],
    ids=str,
)
def test_a_window_around_what_is_not_there_is_not_found(tree, wanted, why):
    with pytest.raises(NotFound, match=why):
        listed(tree, limit=3, **wanted)


# Siblings


@pytest.mark.parametrize("wanted", [{}, {"path": 7}, {"around": 3, "limit": 9}])
def test_messages_with_siblings_name_them(tree, wanted):
    (chunk,) = chunks_of(tree, siblings=True, **wanted)
    found = {each.seq: vars(each).get("siblings") for each in parsed(chunk.messages)}
    every = {seq: siblings_of(TREE, seq) for seq in found}
    assert found == {seq: s if len(s) > 1 else None for seq, s in every.items()}


def test_siblings_are_bounded(db_session):
    (chat_id,) = plant([[None, None, *[1] * 20]])
    (chunk,) = chunks_of(chat_id, siblings=True, around=10, limit=1, bounds=SMALL)
    (message,) = parsed(chunk.messages)
    assert message.siblings == [8, 9, 10, 11, 12]


# Statements


@pytest.mark.parametrize(
    "wanted",
    [
        {"path": HEAD, "limit": 100},
        {"path": HEAD, "limit": 100, "order": Order.DESC, "siblings": True},
        {"around": 50, "limit": 9},
        {"around": 50, "limit": 9, "path": HEAD, "siblings": True},
    ],
    ids=str,
)
def test_a_page_of_a_branch_costs_few_statements(db_session, wanted):
    (chat_id,) = plant([[None, 0, *range(1, 999)]])
    statements = statements_of_read(
        list_branch, chat_id, wanted=BranchRange(**wanted), **MINE
    )
    assert len(statements) <= MOST_TO_READ
    db.session.remove()
