from array import array
from itertools import product

import pytest

from chatstore.store.runs import Runs

RUNS = Runs(array("i", [1, 6, 9]), array("i", [3, 6, 10]))
SEQS = [1, 2, 3, 6, 9, 10]


def test_runs_know_their_seqs():
    assert RUNS.length == 6
    assert RUNS.pairs() == [(1, 3), (6, 6), (9, 10)]
    assert [seq for seq in range(-1, 13) if RUNS.holds(seq)] == SEQS


def test_no_runs_have_no_seqs():
    assert (Runs().length, Runs().pairs(), Runs().holds(1)) == (0, [], False)
    assert Runs.of_one(1, 0) == Runs.of([]) == Runs()


def test_runs_are_made_of_seqs():
    assert Runs.of(SEQS) == RUNS
    assert Runs.of_one(4, 7).pairs() == [(4, 7)]


@pytest.mark.parametrize("is_descending", [False, True])
def test_seqs_between_two_bounds(is_descending):
    for after, before, count in product(range(-1, 12), range(12), range(1, 8)):
        found = RUNS.seqs(
            count=count, after=after, before=before, is_descending=is_descending
        )
        expected = [seq for seq in SEQS if after < seq < before]
        assert found == expected[:: -1 if is_descending else 1][:count]
