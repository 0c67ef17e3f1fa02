import random
from uuid import UUID

import pytest
from sqlalchemy import text

from chatstore.enums import Order
from chatstore.errors import NotFound, TooManyForks
from chatstore.store.path_messages import BranchRange, list_branch
from chatstore.store.paths import WalkBounds, get_path
from tests.support import MISSING_ID, parsed
from tests.support.statements import plan_of, recorded_statements
from tests.support.trees import plant, random_parents, walked

# 1 2 3 4, then 5 follows 2, then 6 7; 8 follows 4; 9 begins the conversation again.
TREE = [None, None, None, None, 2, None, None, 4, 0]
RUNS = {
    1: [(1, 1)],
    4: [(1, 4)],
    5: [(1, 2), (5, 5)],
    7: [(1, 2), (5, 7)],
    8: [(1, 4), (8, 8)],
    9: [(9, 9)],
}
MINE = {"owner_id": "alice"}


@pytest.fixture
def tree(db_session):
    (chat_id,) = plant([TREE])
    return chat_id


def alternating(size):
    """Two branches of equal length, whose messages alternate."""
    return [None, 0, *range(1, size - 1)]


@pytest.mark.parametrize("head", RUNS)
def test_a_path_is_a_list_of_runs(tree, head):
    path = get_path(tree, head_seq=head, **MINE)
    assert (path.head_seq, path.last_seq, path.runs.pairs()) == (head, 9, RUNS[head])


@pytest.mark.parametrize(("stored", "head"), [(None, 9), (7, 7)])
def test_a_path_ends_at_the_head_of_the_session(db_session, stored, head):
    (chat_id,) = plant([TREE], head_seq=stored)
    path = get_path(chat_id, **MINE)
    assert (path.head_seq, path.runs.pairs()) == (head, RUNS[head])


def test_an_empty_session_has_an_empty_path(db_session):
    path = get_path(plant([[]])[0], **MINE)
    assert (path.head_seq, path.last_seq, path.runs.pairs()) == (0, 0, [])


@pytest.mark.parametrize("head", [10, 2**31 - 1, 2**53 - 1])
def test_a_path_to_no_message_is_not_found(tree, head):
    with pytest.raises(NotFound, match=r"no message \d+ in .*the last seq is 9"):
        get_path(tree, head_seq=head, **MINE)


def test_the_path_of_somebody_elses_session_is_not_found(tree):
    with pytest.raises(NotFound) as theirs:
        get_path(tree, owner_id="bob", head_seq=99)
    with pytest.raises(NotFound) as missing:
        get_path(UUID(MISSING_ID), owner_id="bob", head_seq=99)
    assert str(theirs.value).replace(str(tree), MISSING_ID) == str(missing.value)


@pytest.mark.parametrize("most", [1, 2, 3, 50])
def test_a_walk_of_several_statements_is_the_same(db_session, most):
    chance = random.Random(most)
    trees = [random_parents(chance, 30) for _ in range(10)]
    bounds = WalkBounds(forks_per_statement=most)
    for chat_id, parents in zip(plant(trees), trees, strict=True):
        for head in (1, 15, 30):
            path = get_path(chat_id, head_seq=head, bounds=bounds, **MINE)
            expected = [s for f, last in path.runs.pairs() for s in range(f, last + 1)]
            assert expected == walked(parents, head)


@pytest.mark.parametrize("most", [1, 4, 1000])
@pytest.mark.parametrize(
    ("wanted", "first"),
    [
        ({"size": 1}, 20),
        ({"size": 5}, 12),
        ({"size": 5, "before": 16}, 6),
        ({"size": 5, "before": 15}, 6),
        ({"after": 9}, 10),
        ({"after": 10}, 12),
        ({"after": 20}, None),
        ({"after": 99}, None),
        ({"before": 0}, 2),
        ({"size": 99}, 2),
    ],
    ids=str,
)
def test_a_walk_ends_when_it_has_enough(db_session, most, wanted, first):
    (chat_id,) = plant([alternating(20)])
    bounds = WalkBounds(forks_per_statement=most)
    firsts = get_path(chat_id, bounds=bounds, **wanted, **MINE).runs.firsts
    assert (firsts[0] if firsts else None) == first


def test_a_walk_of_too_many_forks_is_refused(db_session):
    (chat_id,) = plant([alternating(20)])
    bounds = WalkBounds(forks_per_statement=2, max_forks=4)
    with pytest.raises(TooManyForks, match="more than 4 forks"):
        get_path(chat_id, bounds=bounds, **MINE)
    # 20 18 16 14, then 12 and its bound
    assert len(get_path(chat_id, bounds=bounds, size=4, **MINE).runs.firsts) == 4
    assert get_path(chat_id, bounds=bounds, head_seq=8, **MINE).runs.length == 4


@pytest.mark.parametrize(
    ("size", "statements"), [(1, 1), (1000, 1), (2000, 1), (2001, 2), (2003, 2)]
)
def test_the_statements_of_a_walk_do_not_grow_with_messages(
    db_session, size, statements
):
    (chat_id,) = plant([alternating(size) if size > 1 else [None] * 3000])
    with recorded_statements() as sent:
        get_path(chat_id, **MINE)
    assert len(sent) == statements


def test_a_fork_is_found_by_the_index_of_forks(db_session, database_kind):
    ids = plant([[None] * 3000, alternating(3000), random_parents(random.Random(1), 3)])
    db_session.execute(text("ANALYZE"))
    db_session.commit()
    for chat_id in ids:
        plan = plan_of(database_kind, lambda each=chat_id: get_path(each, **MINE))
        assert "ix_chat_messages_forks" in plan
        assert "uq_chat_messages" not in plan and "Scan on chat_messages" not in plan


def test_paths_and_listings_equal_a_walk_by_parents_in_10000_random_trees(db_session):
    chance = random.Random(15)
    trees = [random_parents(chance, chance.randint(1, 12)) for _ in range(10_000)]
    for number, (chat_id, parents) in enumerate(
        zip(plant(trees), trees, strict=True), 1
    ):
        head = chance.randint(1, len(parents))
        path = get_path(chat_id, head_seq=head, **MINE)
        expected = walked(parents, head)
        seqs = [s for f, last in path.runs.pairs() for s in range(f, last + 1)]
        assert seqs == expected, (parents, head)
        assert path.runs.length == len(expected)
        if number % 10 == 0:
            order = chance.choice(list(Order))
            listed = list_branch(
                chat_id, wanted=BranchRange(path=head, order=order), **MINE
            )
            found = [each.seq for each in parsed(listed.messages)]
            assert found == expected[:: 1 if order is Order.ASC else -1]
