import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.matching import Finder, Term


def word(*words):
    return Term(words)


def prefix(*words):
    return Term(words, is_prefix=True)


@pytest.mark.parametrize(
    ("term", "count"),
    [
        (word("a"), 3),
        (word("a", "b"), 2),
        (word("b", "b"), 0),
        (word("a", "bc"), 1),
        (prefix("b"), 3),
        (prefix("a", "b"), 3),
        (word("d"), 0),
    ],
)
def test_a_term_is_counted(term, count):
    assert term.count_in(["a", "b", "a", "b", "a", "bc"]) == count


class Counted(str):
    """A word that counts its comparisons."""

    looks = 0
    __slots__ = ()

    def __eq__(self, other):
        Counted.looks += 1
        return str.__eq__(self, other)

    def __hash__(self):
        Counted.looks += 1
        return str.__hash__(self)


@pytest.mark.parametrize(
    "terms",
    [
        [word(*["a"] * 99, "b")],
        [word(*["a"] * size, "b") for size in range(1, 13)],
        [word("a", other) for other in "bcdefgh"],
        [word(f"w{number}") for number in range(100)],
    ],
)
def test_each_word_is_looked_at_a_few_times_whatever_is_sought(terms):
    words = list(map(Counted, ["a"] * 5000))
    Counted.looks = 0
    assert not any(Finder(terms).counts(words))
    assert 0 < Counted.looks <= 8 * len(words)


WORD = st.sampled_from(["a", "b", "ab", "abc"])
TERMS = st.builds(
    Term, st.lists(WORD, min_size=1, max_size=4).map(tuple), st.booleans()
)


def count_slowly(term, words):
    *whole, last = term.words
    size = len(term.words)
    return sum(
        words[start : start + size - 1] == whole
        and (words[start + size - 1] == last)
        | (term.is_prefix and words[start + size - 1].startswith(last))
        for start in range(len(words) - size + 1)
    )


@given(st.lists(TERMS, min_size=1, max_size=8), st.lists(WORD, max_size=30))
def test_all_terms_are_counted_in_one_pass(terms, words):
    assert Finder(terms).counts(words) == [count_slowly(term, words) for term in terms]


def test_matches_have_the_place_of_their_words():
    finder = Finder([Term(("a", "b")), Term(("b",)), Term(("c", "d"), is_prefix=True)])
    words = [("a", 0, 1), ("b", 3, 4), ("c", 6, 7), ("dog", 8, 11)]
    assert list(finder.find_spans(words)) == [(0, 4, 0), (3, 4, 1), (6, 11, 2)]
    assert list(Finder([]).find_spans(words)) == []
