import random

import pytest
from sqlalchemy import text

from chatstore.store.siblings import find_siblings
from tests.support.statements import plan_of
from tests.support.trees import plant, random_parents, siblings_of

# 1, then 2 and 4 follow 1, 3 follows 2, 5 begins again, 6 and 7 follow 3.
TREE = [None, None, None, 1, 0, 3, 3]


@pytest.mark.parametrize(
    ("seqs", "siblings"),
    [
        ([1, 5], {1: [1, 5], 5: [1, 5]}),
        ([4, 3, 2], {2: [2, 4], 4: [2, 4]}),
        ([6, 7], {6: [6, 7], 7: [6, 7]}),
        ([3], {}),
        ([99], {}),
        ([], {}),
    ],
    ids=str,
)
def test_siblings_follow_the_same_message(db_session, seqs, siblings):
    (chat_id,) = plant([TREE])
    assert find_siblings(chat_id, seqs) == siblings


def test_siblings_are_those_of_a_search_through_the_tree(db_session):
    chance = random.Random(3)
    trees = [random_parents(chance, 25) for _ in range(40)]
    for chat_id, parents in zip(plant(trees), trees, strict=True):
        expected = {seq: siblings_of(parents, seq) for seq in range(1, 26)}
        assert find_siblings(chat_id, range(1, 26)) == {
            seq: each for seq, each in expected.items() if len(each) > 1
        }


def test_of_many_siblings_the_nearest_are_found(db_session):
    (chat_id,) = plant([[None, None, *[1] * 10]])  # 2 to 12 follow 1
    found = find_siblings(chat_id, [2, 3, 7, 12], each_side=2)
    assert found == {
        2: [2, 3, 4],
        3: [2, 3, 4, 5],
        7: [5, 6, 7, 8, 9],
        12: [10, 11, 12],
    }


def test_only_the_session_is_searched(db_session):
    plant([TREE])
    (chat_id,) = plant([[None, None, None]])
    assert find_siblings(chat_id, [1, 2, 3, 4]) == {}


def test_siblings_are_found_by_their_index(db_session, database_kind):
    ids = plant([[None] * 3000, [None, None, *[1] * 3000]])
    db_session.execute(text("ANALYZE"))
    db_session.commit()
    for chat_id in ids:
        plan = plan_of(
            database_kind, lambda each=chat_id: find_siblings(each, range(100, 150))
        )
        assert plan.count("ix_chat_messages_siblings") == 2
        assert "Seq Scan on chat_messages" not in plan and "SCAN chat" not in plan
        assert "TEMP B-TREE" not in plan
