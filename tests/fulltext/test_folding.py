import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.folding import fold, limit_marks


@given(st.text(), st.text())
def test_ascii_signs_separate_parts_that_fold_independently(one, other):
    assert fold(f"{one},{other}") == f"{fold(one)},{fold(other)}"


@pytest.mark.parametrize("mark", ["\u0301", "\u0951", "\U0001d165", "\u3099"])
def test_a_letter_has_thirty_marks_at_most(mark):
    kept = limit_marks("a" + mark * 10_000 + "b" + mark * 30)
    assert kept == "a" + mark * 30 + "b" + mark * 30
