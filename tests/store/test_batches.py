import pytest

from chatstore.store.batches import fitting, in_batches


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([4, 4, 4, 11, 1], [[4, 4], [4], [11], [1]]),
        ([5, 5, 1], [[5, 5], [1]]),
    ],
)
def test_batches_are_bounded_and_a_larger_item_is_one_alone(sizes, batches):
    assert list(in_batches(sizes, int, 10)) == batches
    assert fitting(sizes, int, 10) == next(iter(batches), [])
