import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.folded_text import FoldedText
from chatstore.fulltext.folding import fold
from chatstore.fulltext.words import spans_of, words_of


@given(st.text())
def test_what_is_folded_stays_as_it_is(text):
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_located_words_are_the_words(text):
    folded = FoldedText(text)
    located = list(spans_of(folded.folded))
    assert [word for word, _, _ in located] == words_of(text)
    for _, start, end in located:
        first, last = folded.origin(start, end)
        assert 0 <= first < last <= len(text)


def test_a_located_word_is_where_it_stands():
    text = "数据 " * 1000 + "Ein naïver Cafe\u0301-Gast: 数据库!"
    folded = FoldedText(text)
    found = [
        (word, text[slice(*folded.origin(start, end))])
        for word, start, end in list(spans_of(folded.folded))[2000:]
    ]
    assert found == [
        ("ein", "Ein"),
        ("naiver", "naïver"),
        ("cafe", "Cafe\u0301"),
        ("gast", "Gast"),
        ("数据", "数据"),
        ("据库", "据库"),
        ("库", "库"),
    ]


@pytest.mark.parametrize("unit", ["数据库", "한국어", "カ\u3099", "naïve ", "ไทยำ"])
def test_a_text_folds_in_blocks_as_it_does_in_one(unit):
    text = unit * 3000
    assert FoldedText(text).folded == fold(text)


@given(st.lists(st.text(), max_size=5))
def test_a_text_folds_as_its_parts_between_ascii_signs(parts):
    # A mark after a sign belongs to that sign, so the two fold together.
    assert fold(" ".join(parts)) == " ".join(map(fold, parts))
