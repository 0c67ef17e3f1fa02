"""The pages of each script whose cost is measured."""

import pytest

from bench.scripts import _SCRIPTS, WORDS, _Kind, _query, _rows, measure
from chatstore.fulltext.query import parse_query
from chatstore.fulltext.words import words_of

RARE = [_Kind(two_words, is_often=False, in_lines=True) for two_words in (False, True)]


@pytest.mark.parametrize("script", _SCRIPTS)
def test_the_texts_of_all_scripts_have_as_many_words(script):
    kind = _Kind(has_two_words=False, is_often=True, in_lines=False)
    for row in _rows(script, kind, 3):
        assert 0.8 * WORDS <= len(words_of(row.text)) <= 1.1 * WORDS


@pytest.mark.parametrize("script", _SCRIPTS)
@pytest.mark.parametrize("kind", RARE)
def test_what_is_rare_stands_three_times_in_each_text(script, kind):
    for term in parse_query(_query(script, kind)).terms:
        for row in _rows(script, kind, 3):
            assert term.count_in(words_of(row.text)) == 3


def test_a_page_is_measured_beside_an_english_one():
    found = measure("ru", RARE[0], times=2, messages=3)
    assert 0 < found.ms.least <= found.ms.median <= found.ms.most
    assert found.times_english.least > 0
