import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.query import parse_query
from chatstore.fulltext.score import score_text


def score(text, q):
    return score_text(text, parse_query(q))


def test_a_score_is_known_in_advance():
    # One match in one word: 1 / (1 + 1.2 × (0.25 + 0.75 × 4 / 600)).
    assert score("plan", "plan") == 0.765697
    assert score("no", "plan") == 0.0
    assert score("a plan", "plan no") == round(score("a plan", "plan") / 2, 6)


BETTER = [
    ("plan plan", "plan xxxx", "plan"),
    ("plan", "plan" + " x" * 100, "plan"),
    ("red plan", "red xxxx", "red plan"),
    ("red plan", "plan red", '"red plan"'),
    ("planning plans", "planning pla n", "plan*"),
    ("数据库 数据", "数据库 数字", "数据"),
    ("plan plan", "plan other", "plan OR blue"),
    ("getPlanById", "getPlainById", "plan"),
    ("Café Café", "Café Cafes", "cafe"),
]


@pytest.mark.parametrize(("better", "worse", "q"), BETTER)
def test_the_better_text_has_the_higher_score(better, worse, q):
    assert score(better, q) > score(worse, q) >= 0


@pytest.mark.parametrize("text", ["plan", "Plan!", "(plan)", "a plan b", "é plan"])
def test_a_word_is_counted_whole_wherever_it_stands(text):
    assert score(text, "plan") > 0
    assert score(text.replace("plan", "plans").replace("Plan", "1plan"), "plan") == 0


def test_only_the_beginning_of_a_text_counts():
    assert score("x" * 3995 + " plan", "plan") > 0
    assert score("x" * 3996 + " plan", "plan") == 0


WORDS = st.lists(st.sampled_from(["plan", "plans", "a", "-", "PLAN", "."]), max_size=20)


@given(WORDS, st.sampled_from(["plan", "plan a", "a plans plan"]))
def test_the_short_way_for_ascii_counts_as_the_long_one(words, q):
    # A letter beyond ASCII of the same length disables the fast path.
    text = " ".join(words)
    assert score(f"{text} é", q) == score(f"{text} e", q)
    assert 0 <= score(text, q) < 1
